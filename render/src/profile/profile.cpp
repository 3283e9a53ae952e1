// SPDX-License-Identifier: MIT
#include <gaze/render/profile.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>

#include "base/files.hpp"
#include "base/utf8.hpp"
#include "profile/profile_geometry.hpp"

namespace gaze {
namespace {

using nlohmann::json;

constexpr size_t kMaxProfileBytes = size_t{4} << 20;
constexpr int kMostDepth = 32;
constexpr size_t kMaxVocabularyBytes = size_t{64} << 20;

template <typename Enum>
std::optional<Enum> pick(std::initializer_list<Enum> values, const std::string& text) {
  for (const Enum value : values) {
    if (text == name(value)) return value;
  }
  return std::nullopt;
}

std::vector<std::string> read_match(const Field& field) {
  if (!field.has("match")) field.refuse("the field match");
  const Field match = field.at("match");
  if (!match.value().is_array() || match.size() == 0) match.refuse("a list of at least one glob pattern of site names");
  std::vector<std::string> patterns;
  for (size_t i = 0; i < match.size(); ++i) {
    patterns.push_back(match.at(i).text());
    if (patterns.back().empty()) match.at(i).refuse("a glob pattern such as decoder.layers.*.cross_attn");
  }
  return patterns;
}

void read_sites(const Field& field, Profile& profile) {
  field.expect_object({"match"});
  profile.sites = read_match(field);
}

void read_through(const Field& field, Profile& profile) {
  field.expect_object({"match", "reduce"});
  Through through;
  if (field.has("reduce")) {
    through.rollout = field.at("reduce").choice("mean, rollout", [](const std::string& text) -> std::optional<bool> {
      if (text == "mean" || text == "rollout") return text == "rollout";
      return std::nullopt;
    });
  }
  through.sites = read_match(field);
  profile.through = std::move(through);
}

void read_layers(const Field& field, Profile& profile) {
  using ops::LayerReduce;
  field.expect_object({"reduce", "range"});
  if (field.has("reduce")) {
    profile.layers = field.at("reduce").choice("mean, max, last, weighted, rollout", [](const std::string& text) {
      return pick({LayerReduce::Mean, LayerReduce::Max, LayerReduce::Last, LayerReduce::Weighted, LayerReduce::Rollout},
                  text);
    });
  }
  if (!field.has("range")) return;
  const Field range = field.at("range");
  if (!range.value().is_array() || range.size() != 2) range.refuse("[first, last], last = -1 for the end");
  profile.first_layer = range.at(size_t{0}).whole(0, kMaxCount);
  profile.last_layer = range.at(1).whole(-1, kMaxCount);
  if (profile.last_layer >= 0 && profile.last_layer < profile.first_layer) {
    range.refuse("[first, last] with first <= last, or last = -1 for the end");
  }
}

std::vector<SiteHeads> read_selected_heads(const Field& select) {
  if (!select.value().is_array() || select.size() == 0) {
    select.refuse("a list of at least one object with site and heads");
  }
  std::vector<SiteHeads> selected;
  std::set<std::string> sites;
  for (size_t i = 0; i < select.size(); ++i) {
    const Field entry = select.at(i);
    entry.expect_object({"site", "heads"});
    for (const char* required : {"site", "heads"}) {
      if (!entry.has(required)) entry.refuse("the field " + std::string(required), "none");
    }
    SiteHeads of;
    of.site = entry.at("site").text();
    if (of.site.empty()) entry.at("site").refuse("the name of a site");
    if (!sites.insert(of.site).second) entry.at("site").refuse("each site once");
    const Field heads = entry.at("heads");
    if (!heads.value().is_array() || heads.size() == 0 || heads.size() > 64) heads.refuse("a list of 1 to 64 heads");
    for (size_t h = 0; h < heads.size(); ++h) {
      of.heads.push_back(heads.at(h).whole(0, 255));
      if (std::count(of.heads.begin(), of.heads.end(), of.heads.back()) > 1) heads.at(h).refuse("each head once");
    }
    selected.push_back(std::move(of));
  }
  return selected;
}

void read_heads(const Field& field, Profile& profile) {
  using ops::HeadReduce;
  field.expect_object({"reduce", "head", "k", "select"});
  if (field.has("reduce")) {
    profile.heads = field.at("reduce").choice("mean, max, min, weighted, one, topk", [](const std::string& text) {
      return pick(
          {HeadReduce::Mean, HeadReduce::Max, HeadReduce::Min, HeadReduce::Weighted, HeadReduce::One, HeadReduce::TopK},
          text);
    });
  }
  if (profile.heads == HeadReduce::One && !field.has("head")) {
    field.refuse("the field head where reduce is one", "none");
  }
  if (field.has("select")) {
    profile.selected_heads = read_selected_heads(field.at("select"));
    if (profile.heads == HeadReduce::One) field.at("reduce").refuse("mean, max, min, weighted or topk beside select");
  }
  set_whole(field, "head", 0, profile.head);
  set_whole(field, "k", 1, profile.top_k);
}

std::vector<float> read_channels(const Field& field, bool positive) {
  const std::string expected = "a list of 1 or 3 " + std::string(positive ? "numbers above 0" : "numbers");
  if (!field.value().is_array() || (field.size() != 1 && field.size() != 3)) field.refuse(expected);
  std::vector<float> values;
  for (size_t i = 0; i < field.size(); ++i) {
    const Field entry = field.at(i);
    const auto number = static_cast<float>(entry.number());
    if (!std::isfinite(number) || (positive && number <= 0))
      entry.refuse(positive ? "a number above 0" : "a finite number");
    values.push_back(number);
  }
  return values;
}

std::map<std::string, int64_t> read_argument(const Field& argument) {
  if (!argument.value().is_object() || argument.size() == 0) {
    argument.refuse("an object of method names and argument indices, such as {\"forward\": 0}");
  }
  std::map<std::string, int64_t> indices;
  for (const auto& [method, index] : argument.value().items()) indices[method] = argument.at(method).whole(0, 255);
  return indices;
}

// A list is the geometry's own.
void read_placeholder(const Field& field, Profile& profile) {
  field.expect_object({"placeholder", "argument"});
  PlaceholderSpans spans;
  // Ids of pictures may be negative.
  if (field.has("placeholder")) spans.placeholder = field.at("placeholder").whole(-kMaxCount, kMaxCount);
  for (const char* required : {"placeholder", "argument"}) {
    if (!field.has(required)) field.refuse("the field " + std::string(required), "none");
  }
  spans.argument = read_argument(field.at("argument"));
  profile.spans = std::move(spans);
}

void read_image(const Field& field, Profile& profile) {
  field.expect_object({"argument", "layout", "mean", "std", "width", "height"});
  ImageInput image;
  if (field.has("argument")) image.argument = read_argument(field.at("argument"));
  if (field.has("layout") && field.at("layout").value() != "bchw") field.at("layout").refuse("bchw");
  if (field.has("mean") != field.has("std")) {
    field.refuse("mean and std together", field.has("mean") ? "mean alone" : "std alone");
  }
  if (field.has("mean")) {
    image.mean = read_channels(field.at("mean"), false);
    image.std = read_channels(field.at("std"), true);
    if (image.mean.size() != image.std.size()) {
      field.at("std").refuse("as many values as mean (" + std::to_string(image.mean.size()) + ")",
                             std::to_string(image.std.size()));
    }
  }
  set_whole(field, "width", 1, image.width);
  set_whole(field, "height", 1, image.height);
  if (field.has("width") != field.has("height")) {
    field.refuse("width and height together", field.has("width") ? "width alone" : "height alone");
  }
  profile.image = std::move(image);
}

void read_sound(const Field& field, Profile& profile) {
  field.expect_object({"argument", "sample_rate_hz"});
  SoundInput sound;
  set_whole(field, "sample_rate_hz", 1, sound.sample_rate_hz);
  for (const char* required : {"argument", "sample_rate_hz"}) {
    if (!field.has(required)) field.refuse("the field " + std::string(required), "none");
  }
  sound.argument = read_argument(field.at("argument"));
  profile.sound = std::move(sound);
}

// The parser keeps the last of two equal names silently; a profile with two is a mistake.
json parse(const std::string& text, const std::string& source) {
  std::vector<std::set<std::string>> open;
  std::string duplicate;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMostDepth) {
      throw Error(source + ": expected lists and objects at most " + std::to_string(kMostDepth) +
                  " deep, got deeper ones. Remove the brackets that nothing needs.");
    }
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  json document;
  try {
    document = json::parse(text, watch);
  } catch (const json::exception& error) {
    throw Error(source + ": expected JSON, got: " + excerpt(error.what(), 240) + ".");
  }
  if (!duplicate.empty())
    throw Error(source + ": " + excerpt(duplicate, 60) + ": expected each field once, got it twice.");
  return document;
}

std::vector<std::string> read_vocabulary(const std::string& path) {
  const std::string source = "vocabulary '" + excerpt(path, 1000) + "'";
  const json document = parse(files::read(path, "vocabulary", kMaxVocabularyBytes), source);
  const char* key = !document.is_object() ? nullptr : document.contains("tokens") ? "tokens" : "words";
  const bool wrapped = key != nullptr && document.contains(key);
  const Field list(wrapped ? document.at(key) : document, source, wrapped ? key : "the file");
  if (!list.value().is_array() || list.size() == 0) {
    list.refuse("a list of strings, or an object whose field tokens or words is one");
  }
  std::vector<std::string> words;
  for (size_t i = 0; i < list.size(); ++i) words.push_back(list.at(i).text());
  return words;
}

void read_tokens(const Field& field, const std::string& directory, Profile& profile) {
  field.expect_object({"vocabulary", "eos"});
  if (field.has("vocabulary")) {
    const std::string file = field.at("vocabulary").text();
    if (file.empty()) field.at("vocabulary").refuse("the name of a JSON file");
    profile.vocabulary = read_vocabulary(file.front() == '/' ? file : directory + "/" + file);
  }
  if (field.has("eos")) {
    const int64_t greatest =
        profile.vocabulary.empty() ? kMaxCount : static_cast<int64_t>(profile.vocabulary.size()) - 1;
    profile.eos = field.at("eos").whole(-1, greatest);
  }
}

Profile read(const std::string& text, const std::string& source, const std::string& directory) {
  const json document = parse(text, source);
  const Field root(document, source, "");
  root.expect_object({"gaze_profile", "name", "sites", "through", "layers", "heads", "image", "sound", "geometry",
                      "verify", "tokens"});
  if (!root.has("gaze_profile")) root.refuse("the field gaze_profile: 1", "none");
  if (root.at("gaze_profile").value() != 1) root.at("gaze_profile").refuse("1");
  if (!root.has("sites")) root.refuse("the field sites", "none");
  Profile profile;
  if (root.has("name")) profile.name = root.at("name").text();
  read_sites(root.at("sites"), profile);
  if (root.has("through")) read_through(root.at("through"), profile);
  if (root.has("layers")) read_layers(root.at("layers"), profile);
  if (root.has("heads")) read_heads(root.at("heads"), profile);
  if (root.has("image")) read_image(root.at("image"), profile);
  if (root.has("sound")) read_sound(root.at("sound"), profile);
  if (root.has("geometry")) {
    const Field geometry = root.at("geometry");
    if (geometry.has("spans") && geometry.at("spans").value().is_object()) {
      read_placeholder(geometry.at("spans"), profile);
      if (geometry.has("first_key")) geometry.at("first_key").refuse("no first_key beside spans");
    }
    profile.geometry = read_geometry(geometry, profile.image);
  }
  if (profile.sound && (profile.image || !profile.geometry || !profile.geometry->time)) {
    root.at("sound").refuse("geometry.time, and no image, beside sound", profile.image ? "image" : "no geometry.time");
  }
  if (root.has("verify")) profile.verify = root.at("verify").flag();
  if (root.has("tokens")) read_tokens(root.at("tokens"), directory, profile);
  return profile;
}

}  // namespace

Profile read_profile(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  return read(files::read(path, "profile", kMaxProfileBytes), "profile '" + path + "'", directory);
}

Profile parse_profile(const std::string& text, const std::string& directory) {
  return read(text, "profile", directory);
}

}  // namespace gaze
