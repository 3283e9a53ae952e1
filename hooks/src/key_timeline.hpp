// SPDX-License-Identifier: MIT
// From where the keys of a sound lie in time to how long each lasts. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace gaze {

struct KeyTimeline {
  int64_t first_key = 0, keys = 0;
  double steps_per_key = 0;
  double uncertain = 0;    ///< steps: how far steps_per_key may be off; 0 of a whole number that is certain
  double centre_of_0 = 0;  ///< steps: where the line has key 0
  double first_step = 0;   ///< where the first key begins; 0 where that is less than half a key or a strip away
  double local_share = 0;  ///< of the keys: local, and in their place
};

/// The line that nine tenths of the placed keys lie on, each at most 0.45 keys, or a strip where that is wider, away;
/// with the responding keys before and after them that it places within the sound. Whole steps where the keys allow no
/// other number.
/// @param steps  of the sound
/// @param strip  steps of a perturbed strip
/// @param known  another site's line of as many keys, which is taken where these agree with it
std::optional<KeyTimeline> find_timeline(const std::vector<ProbedKey>& keys, int64_t steps, int64_t strip,
                                         const std::optional<KeyTimeline>& known = std::nullopt);

}  // namespace gaze
