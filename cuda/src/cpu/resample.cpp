// SPDX-License-Identifier: MIT
#include <algorithm>

#include "axis.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {
namespace {

/// Element offsets of the two cells a pixel lies between along one axis.
struct Sample {
  std::int64_t low = 0, high = 0;
  float share = 0;    ///< of `high`
  bool seen = false;  ///< false: the pixel is outside of the grid
};

Sample sample(double place, std::int64_t cells, std::int64_t stride, bool exact) {
  const std::int64_t own = cell(place, cells);
  if (own < 0 || own == cells) return {};
  const Tap t = tap(place, cells, exact);
  return {t.low * stride, t.high * stride, t.share, true};
}

constexpr std::int64_t kTile = 256;

}  // namespace

void resample(const ResampleParams& p) {
  for (std::int64_t x0 = 0; x0 < p.width; x0 += kTile) {
    const std::int64_t columns = std::min(kTile, p.width - x0);
    Sample samples[kTile];
    for (std::int64_t i = 0; i < columns; ++i) {
      samples[i] = sample(place(p.scale_x, p.offset_x, x0 + i), p.cols, p.stride_x, p.exact);
    }
    for (std::int64_t y = 0; y < p.height; ++y) {
      float* out = p.out_yx + y * p.width + x0;
      const Sample row = sample(place(p.scale_y, p.offset_y, y), p.rows, p.stride_y, p.exact);
      if (!row.seen) {
        std::fill_n(out, columns, 0.0f);
        continue;
      }
      const float* top = p.map_yx + row.low;
      const float* bottom = p.map_yx + row.high;
      for (std::int64_t i = 0; i < columns; ++i) {
        const Sample& column = samples[i];
        const float above = top[column.low] + column.share * (top[column.high] - top[column.low]);
        const float below = bottom[column.low] + column.share * (bottom[column.high] - bottom[column.low]);
        out[i] = column.seen ? above + row.share * (below - above) : 0.0f;
      }
    }
  }
}

}  // namespace gaze::kernels::cpu
