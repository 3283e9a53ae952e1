// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace gaze::kernels::cpu {
namespace {

/// Between which two cells a pixel lies along one axis.
struct Tap {
  std::int64_t low = 0, high = 0;  ///< element offsets
  float share = 0;                 ///< of `high`
  bool seen = false;               ///< false: the pixel is outside of the grid
};

Tap tap(double place, std::int64_t cells, std::int64_t stride, bool exact) {
  Tap t;
  t.seen = place >= 0 && place < static_cast<double>(cells);
  if (!t.seen) return t;
  if (exact) {
    t.low = t.high = static_cast<std::int64_t>(place) * stride;
    return t;
  }
  const double centre = std::clamp(place - 0.5, 0.0, static_cast<double>(cells - 1));
  const std::int64_t low = static_cast<std::int64_t>(centre);
  t.low = low * stride;
  t.high = std::min(low + 1, cells - 1) * stride;
  t.share = static_cast<float>(centre - static_cast<double>(low));
  return t;
}

constexpr std::int64_t kTile = 256;

}  // namespace

void resample(const ResampleParams& p) {
  for (std::int64_t x0 = 0; x0 < p.width; x0 += kTile) {
    const std::int64_t columns = std::min(kTile, p.width - x0);
    Tap taps[kTile];
    for (std::int64_t i = 0; i < columns; ++i) {
      taps[i] = tap(p.scale_x * (static_cast<double>(x0 + i) + 0.5) + p.offset_x, p.cols, p.stride_x, p.exact);
    }
    for (std::int64_t y = 0; y < p.height; ++y) {
      float* out = p.out_yx + y * p.width + x0;
      const Tap row = tap(p.scale_y * (static_cast<double>(y) + 0.5) + p.offset_y, p.rows, p.stride_y, p.exact);
      if (!row.seen) {
        std::fill_n(out, columns, 0.0f);
        continue;
      }
      const float* top = p.map_yx + row.low;
      const float* bottom = p.map_yx + row.high;
      for (std::int64_t i = 0; i < columns; ++i) {
        const Tap& column = taps[i];
        const float above = top[column.low] + column.share * (top[column.high] - top[column.low]);
        const float below = bottom[column.low] + column.share * (bottom[column.high] - bottom[column.low]);
        out[i] = column.seen ? above + row.share * (below - above) : 0.0f;
      }
    }
  }
}

}  // namespace gaze::kernels::cpu
