// SPDX-License-Identifier: MIT
// From where the keys of a sound lie in time to how long each lasts. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace gaze {

/// How many steps a key lasts.
struct KeyStride {
  double steps = 0;
  double uncertain = 0;  ///< steps: how far it may be off; 0 of a whole number that is certain
};

struct KeyTimeline {
  int64_t of_keys = 0;              ///< in the row, text and padding included
  int64_t first_key = 0, keys = 0;  ///< those within the sound
  KeyStride stride;
  double centre_of_0 = 0;  ///< steps: where the line has key 0
  double first_step = 0;   ///< where the first key begins; 0 where that is within half a key or a strip
  double local_share = 0;  ///< of `keys`: local, and in their place
};

/// Whole steps where one whole number lies within what is uncertain, and no other.
KeyStride whole_if_certain(KeyStride stride);

/// Steps that a key's centre may lie beside its place: nearly half a key, or some strips where these are wider.
double reach_in_time(double steps_per_key, double strip);

/// The line that most of the placed keys lie on, and nine tenths of those between its first and its last, each within
/// reach; with the responding keys before and after them that it places within the sound.
/// @param steps   of the sound
/// @param strip   steps of a perturbed strip
/// @param stride  when it is known
std::optional<KeyTimeline> find_timeline(const std::vector<ProbedKey>& keys, int64_t steps, int64_t strip,
                                         const std::optional<KeyStride>& stride = std::nullopt);

/// Whether the keys of another row, of as many keys, lie on a line as `find_timeline` asks; then with its own share.
std::optional<KeyTimeline> confirmed(const KeyTimeline& known, const std::vector<ProbedKey>& keys, int64_t steps,
                                     int64_t strip);

}  // namespace gaze
