// SPDX-License-Identifier: MIT
// What reduce and attend_reduce share: one row of all heads goes into the accumulator.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace gaze::kernels::cpu {

/// Floats of scratch that add_row needs.
inline std::int64_t add_row_scratch(std::int64_t heads, std::int64_t cells) { return 2 * heads + cells; }

/// Adds row `token`. Head h's weights on the medium's keys start at slice_hc + h * stride_h.
void add_row(const float* slice_hc, std::int64_t stride_h, std::int64_t heads, std::int64_t visible,
             const Reduction& by, const AccumulatorRows& to, std::int64_t token, float* scratch);

/// Counts a row that only leaves its flags.
inline void add_flags(const AccumulatorRows& to, std::int64_t token, std::int32_t flags) {
  to.flags_t[token] |= flags;
  to.calls_t[token] += 1;
}

}  // namespace gaze::kernels::cpu
