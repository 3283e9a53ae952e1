// SPDX-License-Identifier: MIT
// Seconds along an axis, as people read them.
#pragma once

#include <string>
#include <vector>

#include "base/for_parts.hpp"

namespace gaze {

struct TimeTick {
  double seconds;
  std::string label;  ///< empty: a small tick between two that have one
};

/// Ticks at round times within [first, last], ascending.
/// @param seconds_per_label  labels lie at least this far apart, > 0
GAZE_FOR_PARTS std::vector<TimeTick> time_ticks(double first, double last, double seconds_per_label);

/// "4.20 s"; from 60 s on "1:04.20", from an hour on "1:00:04.20". Rounded to `decimals`, 0..9.
GAZE_FOR_PARTS std::string clock_text(double seconds, int decimals);

/// "4.20 s" of any number, for errors.
std::string seconds_text(double seconds);

}  // namespace gaze
