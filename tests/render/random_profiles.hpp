// SPDX-License-Identifier: MIT
// Valid profiles by chance. Every member is drawn from, those of a geometry as its kind allows.
#pragma once

#include <gaze/render/profile.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace gaze::test {

class RandomProfiles {
 public:
  explicit RandomProfiles(uint64_t seed) : random_(seed) {}

  Profile next() {
    Profile profile;
    if (flip()) profile.name = text();
    profile.sites = texts();
    if (flip()) profile.through = Through{texts(), flip()};
    if (flip())
      profile.layers = one_of({ops::LayerReduce::Mean, ops::LayerReduce::Max, ops::LayerReduce::Last,
                               ops::LayerReduce::Weighted, ops::LayerReduce::Rollout});
    if (flip()) profile.first_layer = within(0, 5);
    if (flip()) profile.last_layer = profile.first_layer + within(0, 5);
    add_heads(profile);
    add_rows(profile);
    const bool sound = within(0, 5) == 0;
    if (sound) {
      profile.sound = SoundInput{argument(), within(1, 48000), {}};
    } else if (flip()) {
      profile.image = image();
    }
    if (sound || within(0, 9) > 0) add_geometry(sound, profile);
    if (profile.geometry && !profile.geometry->time && within(0, 3) == 0) {
      Geometry beside{.rows = 1, .cols = within(1, 99), .first_key = count()};
      beside.time = Timeline{within(1, 100) * 0.01, flip() ? within(-5, 5) * 0.03 : 0};
      profile.sound = SoundInput{argument(), within(1, 48000), beside};
    }
    if (within(0, 3) == 0) profile.text = text_input();
    profile.encoder = flip();
    profile.verify = flip();
    if (flip()) profile.grounding = grounding();
    if (flip()) profile.eos = within(0, 100);
    return profile;
  }

 private:
  int64_t within(int64_t least, int64_t greatest) {
    return least + static_cast<int64_t>(random_() % static_cast<uint64_t>(greatest - least + 1));
  }
  bool flip() { return within(0, 1) == 1; }
  /// 0 half of the time.
  int64_t count() { return flip() ? within(0, 5) : 0; }
  template <typename Value>
  Value one_of(std::initializer_list<Value> values) {
    return values.begin()[within(0, static_cast<int64_t>(values.size()) - 1)];
  }
  std::string text() {
    std::string text;
    for (int64_t i = within(1, 6); i > 0; --i)
      text +=
          one_of<const char*>({"a", "*", ".", " ", "\"", "\\", "\n", "\x7f", "\u00e4", "\u4e2d", "\U0001F600", "/"});
    return text;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> texts(static_cast<size_t>(within(1, 3)));
    for (std::string& each : texts) each = text();
    return texts;
  }
  std::map<std::string, int64_t> argument() {
    std::map<std::string, int64_t> argument;
    for (int64_t i = within(1, 3); i > 0; --i) argument[text()] = within(0, 255);
    return argument;
  }
  float positive() { return std::ldexp(static_cast<float>(within(1, 1 << 24)), static_cast<int>(within(-149, 100))); }

  void add_rows(Profile& profile) {
    using Of = TokenRows::Of;
    profile.rows.of = one_of({Of::Found, Of::Last, Of::First, Of::All, Of::Range});
    if (profile.rows.of == Of::Range) {
      profile.rows.first = within(0, 40);
      profile.rows.last = profile.rows.first + within(0, 3);
    }
    profile.rows.calls_per_token = within(1, 3);
    profile.rows.passes = within(1, 4);
    profile.rows.pass = profile.rows.passes - 1;
  }

  void add_heads(Profile& profile) {
    using ops::HeadReduce;
    if (flip())
      profile.heads = one_of({HeadReduce::Mean, HeadReduce::Max, HeadReduce::Min, HeadReduce::Weighted, HeadReduce::One,
                              HeadReduce::TopK});
    profile.head = count();
    if (flip()) profile.top_k = within(1, 9);
    if (profile.heads == HeadReduce::One || flip()) return;
    for (int64_t site = within(1, 3); site > 0; --site) {
      SiteHeads of{std::to_string(site) + text(), {}};
      for (int64_t head = within(0, 64); head < 255; head += within(64, 128)) of.heads.push_back(255 - head);
      profile.selected_heads.push_back(of);
    }
  }

  GroundingLimits grounding() {
    const auto limit = [&](int64_t least) { return static_cast<double>(within(least, 1000)) / 1000; };
    const int64_t word = within(0, 1000), answer = within(0, 1000);
    return {static_cast<double>(word) / 1000, limit(word), static_cast<double>(answer) / 1000, limit(answer)};
  }

  ImageInput image() {
    ImageInput image;
    if (flip()) image.argument = argument();
    for (int64_t i = one_of({0, 1, 3}); i > 0; --i) {
      image.mean.push_back(flip() ? positive() : -positive());
      image.std.push_back(positive());
    }
    return image;
  }

  TextInput text_input() {
    TextInput made;
    if (flip()) made.argument = argument();
    if (flip()) made.sites = {"decoder.*", "a"};
    for (int64_t n = within(0, 3); n > 0; --n) {
      TextMarker marker{static_cast<SourceKind>(within(0, 4)), {within(-3, 99), within(0, 99)}, {}};
      if (flip()) marker.end = {within(0, 99)};
      made.markers.push_back(marker);
    }
    return made;
  }

  void add_geometry(bool sound, Profile& profile) {
    Geometry geometry;
    geometry.leading = count();
    geometry.trailing = count();
    const int64_t kind = sound ? 3 : within(0, 3);
    geometry.last_row_end = flip();
    if (kind == 3) {
      geometry.rows = 1;
      geometry.cols = count();
      geometry.time = Timeline{within(1, 100) * 0.01, flip() ? within(-5, 5) * 0.03 : 0};
    } else {
      if (kind == 1) geometry.tiles = flip() ? Tiles{within(1, 3), within(1, 3)} : Tiles{0, 0};
      if (kind == 1) geometry.tiles->leading = count(), geometry.tiles->trailing = count();
      if (kind == 1) geometry.tiles->row_end = count();
      if (kind == 2) geometry.video = video();
      if (kind != 2 && flip()) geometry.thumbnail = Thumbnail{within(1, 4), within(1, 4), flip(), count(), count()};
      add_order(geometry);
      add_size(geometry, profile);
    }
    add_spans(geometry, profile);
    profile.geometry = geometry;
  }

  Video video() {
    Video video;
    video.temporal_merge = within(1, 3);
    video.frames = count() * video.temporal_merge;
    video.frame = within(-1, video.frames == 0 ? 9 : video.frames - 1);
    video.leading = count();
    video.trailing = count();
    return video;
  }

  void add_order(Geometry& geometry) {
    geometry.order = one_of({CellOrder::Rows, CellOrder::Columns, CellOrder::Windows});
    if (geometry.order == CellOrder::Rows) geometry.row_end = count();
    if (geometry.order != CellOrder::Windows) return;
    geometry.window_rows = within(1, 4);
    geometry.window_cols = within(1, 4);
  }

  void add_size(Geometry& geometry, Profile& profile) {
    geometry.rows = within(1, 8);
    geometry.cols = within(1, 8);
    if (flip()) geometry.merge = within(1, 3);
    const bool patches = flip();
    if (patches) geometry.patch = within(1, 16);
    geometry.fit = one_of({Fit::Resize, Fit::CentreCrop, Fit::Letterbox});
    if (geometry.fit == Fit::CentreCrop) geometry.resize_shorter = count();
    // In proportion to the cells, so that nothing is cut off.
    const int64_t side = std::max<int64_t>(geometry.patch, 1) * geometry.merge;
    const bool many = geometry.tiles && geometry.tiles->rows > 0;
    const int64_t width = side * geometry.cols * (many ? geometry.tiles->cols : 1);
    const int64_t height = side * geometry.rows * (many ? geometry.tiles->rows : 1);
    const int64_t of_image = profile.image ? within(0, 2) : 0;
    if (of_image > 0) profile.image->width = of_image * width, profile.image->height = of_image * height;
    if (of_image > 0 || (geometry.fit != Fit::Resize && !patches) || flip()) {
      geometry.input_width = width;
      geometry.input_height = height;
    }
    geometry.unpad = geometry.fit == Fit::Letterbox && !geometry.tiles && flip();
    if (patches && flip()) geometry.rows = geometry.cols = 0;
  }

  void add_spans(Geometry& geometry, Profile& profile) {
    const int64_t form = within(0, 2);
    if (form < 2) geometry.first_key = count();
    if (form == 0) {
      if (flip()) geometry.picture = 0;
      if (flip()) geometry.pictures = 1;
    } else if (form == 1) {
      for (int64_t at = within(0, 5), i = within(1, 3); i > 0; --i, at += 100)
        geometry.spans.push_back({at, within(1, 100)});
      const auto spans = static_cast<int64_t>(geometry.spans.size());
      geometry.picture = within(-1, spans - 1);
      if (flip()) geometry.pictures = spans;
    } else {
      profile.spans = PlaceholderSpans{within(-300, 300), argument()};
      geometry.picture = within(-1, 3);
      geometry.pictures = count();
    }
  }

  std::mt19937_64 random_;
};

}  // namespace gaze::test
