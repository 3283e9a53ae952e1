// SPDX-License-Identifier: MIT
// How long the keys of a sound last, from a sound that is moved. Knows no tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "probe/key_timeline.hpp"

namespace gaze {

/// Mean squared difference between keys of the sound and those of a copy, `keys` further along, that is moved by
/// `steps`; negative ones are towards its beginning.
using ShiftMisfit = std::function<double(int64_t keys, int64_t steps)>;

/// Most calls of the misfit that one measure takes.
inline constexpr int64_t kShiftRuns = 36;

/// A sound moved by as long as n keys last gives nearly the same keys, n further along. The least misfit is looked for
/// around what strips say, with a parabola through three moves, there and back, for more and more keys: the place of a
/// key in the row changes it too, in one direction the other way than in the other. Nothing where the misfit has no
/// least value.
std::optional<KeyStride> stride_by_shifts(const KeyTimeline& line, const ShiftMisfit& misfit);

}  // namespace gaze
