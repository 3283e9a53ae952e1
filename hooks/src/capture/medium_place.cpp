// SPDX-License-Identifier: MIT
#include "capture/medium_place.hpp"

#include <gaze/render/medium.hpp>
#include <gaze/render/status.hpp>

#include <string>

namespace gaze {

KeySpan MediumPlace::span(int64_t keys) const {
  if (latents) return {latents->first_key(), latents->span()};
  if (carried) return {0, keys};
  if (geometry && !geometry->text) return {geometry->first_cell(), geometry->span()};
  return {0, keys};
}

const char* MediumPlace::noun() const { return gaze::noun(medium_of(geometry.value_or(Geometry()))); }

std::vector<KeySpan> common_spans(const std::vector<RowPlace>& rows, int64_t keys) {
  std::vector<KeySpan> spans;
  for (const MediumPlace& place : rows.front().media) spans.push_back(place.span(keys));
  for (const RowPlace& row : rows) {
    for (size_t m = 0; m < spans.size(); ++m) {
      const KeySpan first = spans[m], other = row.media[m].span(keys);
      if (other.first_key == first.first_key && other.keys == first.keys) continue;
      const std::string noun = row.media[m].noun();
      throw Error("batch: expected the " + noun + "'s keys at one place in all rows, got " +
                      std::to_string(first.keys) + " from " + std::to_string(first.first_key) + " and " +
                      std::to_string(other.keys) + " from " + std::to_string(other.first_key) + ". Put " + noun +
                      "s of different sizes into batches of their own.",
                  DropReason::ShapeMismatch);
    }
  }
  return spans;
}

}  // namespace gaze
