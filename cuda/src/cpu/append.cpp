// SPDX-License-Identifier: MIT
#include <cstring>

#include "kernels.hpp"

namespace gaze::kernels::cpu {

void append(const AppendParams& p) {
  const std::int64_t step = *p.count_n;
  const auto move = [&](auto* to_t, auto* from_t) {
    const auto bytes = static_cast<std::size_t>(p.rows) * sizeof *from_t;
    if (step < p.steps) std::memcpy(to_t + step * p.rows, from_t, bytes);
    std::memset(from_t, 0, bytes);
  };
  const AccumulatorRows &from = p.from, &to = p.to;
  for (std::int64_t b = 0; b < p.rows; ++b) {
    float* const cells = from.map_tc + b * from.map_stride_t;
    const auto bytes = static_cast<std::size_t>(from.cells) * sizeof(float);
    if (step < p.steps) std::memcpy(to.map_tc + (step * p.rows + b) * to.map_stride_t, cells, bytes);
    std::memset(cells, 0, bytes);
  }
  move(to.weight_t, from.weight_t);
  move(to.mass_t, from.mass_t);
  move(to.visible_t, from.visible_t);
  move(to.calls_t, from.calls_t);
  move(to.flags_t, from.flags_t);
  move(to.rows_t, from.rows_t);
  for (std::int64_t n = 0; n < append_counters(p.rows, from.cells); ++n) {
    if (p.count_n[n] < INT32_MAX) ++p.count_n[n];
  }
}

}  // namespace gaze::kernels::cpu
