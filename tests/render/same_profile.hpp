// SPDX-License-Identifier: MIT
// Whether two profiles are the same, member by member: a new member does not compile until it is named here.
#pragma once

#include <gaze/render/profile.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

namespace gaze::test {

inline auto members(const Tiles& tiles) {
  const auto& [rows, cols, leading, trailing, row_end] = tiles;
  return std::tie(rows, cols, leading, trailing, row_end);
}
inline auto members(const Thumbnail& thumbnail) {
  const auto& [rows, cols, first, leading, trailing] = thumbnail;
  return std::tie(rows, cols, first, leading, trailing);
}
inline auto members(const Video& video) {
  const auto& [frames, temporal_merge, frame, leading, trailing] = video;
  return std::tie(frames, temporal_merge, frame, leading, trailing);
}
inline auto members(const Timeline& time) {
  const auto& [seconds_per_key, first_seconds, whole] = time;
  return std::tie(seconds_per_key, first_seconds, whole);
}
inline auto members(const KeySpan& span) {
  const auto& [first_key, keys] = span;
  return std::tie(first_key, keys);
}
inline auto members(const Geometry& geometry) {
  const auto& [rows, cols, leading, trailing, first_key, fit, input_width, input_height, resize_shorter, patch, merge,
               order, window_rows, window_cols, row_end, last_row_end, tiles, thumbnail, video, time, text, unpad,
               cut_rows, cut_cols, picture_width, picture_height, spans, picture, pictures] = geometry;
  return std::tie(rows, cols, leading, trailing, first_key, fit, input_width, input_height, resize_shorter, patch,
                  merge, order, window_rows, window_cols, row_end, last_row_end, tiles, thumbnail, video, time, text,
                  unpad, cut_rows, cut_cols, picture_width, picture_height, spans, picture, pictures);
}
inline auto members(const ImageInput& image) {
  const auto& [argument, mean, std, width, height] = image;
  return std::tie(argument, mean, std, width, height);
}
inline auto members(const SoundInput& sound) {
  const auto& [argument, sample_rate_hz, beside] = sound;
  return std::tie(argument, sample_rate_hz, beside);
}
inline auto members(const TextMarker& marker) {
  const auto& [kind, begin, end] = marker;
  return std::tie(kind, begin, end);
}
inline auto members(const TextInput& text) {
  const auto& [argument, sites, markers] = text;
  return std::tie(argument, sites, markers);
}
inline auto members(const PlaceholderSpans& spans) {
  const auto& [placeholder, argument] = spans;
  return std::tie(placeholder, argument);
}
inline auto members(const SiteHeads& selected) {
  const auto& [site, heads] = selected;
  return std::tie(site, heads);
}
inline auto members(const Through& through) {
  const auto& [sites, rollout] = through;
  return std::tie(sites, rollout);
}
inline auto members(const GroundingLimits& limits) {
  const auto& [word_weak, word_grounded, answer_weak, answer_grounded] = limits;
  return std::tie(word_weak, word_grounded, answer_weak, answer_grounded);
}
inline auto members(const Profile& profile) {
  const auto& [name, sites, heads, head, top_k, selected_heads, layers, first_layer, last_layer, through, encoder, rows,
               image, sound, text, geometry, grounding, verify, spans, vocabulary, spelling, vocabulary_file, eos] =
      profile;
  return std::tie(name, sites, heads, head, top_k, selected_heads, layers, first_layer, last_layer, through, encoder,
                  rows, image, sound, text, geometry, grounding, verify, spans, vocabulary, spelling, vocabulary_file,
                  eos);
}

template <typename Value>
bool same(const Value& a, const Value& b);

template <typename Value>
bool same(const std::optional<Value>& a, const std::optional<Value>& b) {
  return a.has_value() == b.has_value() && (!a || same(*a, *b));
}

template <typename Value>
bool same(const std::shared_ptr<const Value>& a, const std::shared_ptr<const Value>& b) {
  return a == b || (a && b && same(*a, *b));
}

template <typename Value>
bool same(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Value& left, const Value& right) { return same(left, right); });
}

template <typename... Values>
bool same(const std::tuple<const Values&...>& a, const std::tuple<const Values&...>& b) {
  return std::apply(
      [&](const Values&... left) {
        return std::apply([&](const Values&... right) { return (same(left, right) && ...); }, b);
      },
      a);
}

template <typename Value>
bool same(const Value& a, const Value& b) {
  if constexpr (requires { members(a); }) {
    return same(members(a), members(b));
  } else {
    return a == b;
  }
}

}  // namespace gaze::test
