// SPDX-License-Identifier: MIT
#include "axis.hpp"
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) resample_pixels(const ResampleParams p) {
  const std::int64_t x = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (x >= p.width) return;
  const double across = place(p.scale_x, p.offset_x, x);
  const bool column_seen = across >= 0 && across < static_cast<double>(p.cols);
  const Tap column = column_seen ? tap(across, p.cols, p.exact) : Tap();
  for (std::int64_t y = blockIdx.y; y < p.height; y += gridDim.y) {
    const double down = place(p.scale_y, p.offset_y, y);
    float out = 0;
    if (column_seen && down >= 0 && down < static_cast<double>(p.rows)) {
      const Tap row = tap(down, p.rows, p.exact);
      const float* const top = p.map_yx + row.low * p.stride_y;
      const float* const bottom = p.map_yx + row.high * p.stride_y;
      const std::int64_t low = column.low * p.stride_x, high = column.high * p.stride_x;
      const float above = top[low] + column.share * (top[high] - top[low]);
      const float below = bottom[low] + column.share * (bottom[high] - bottom[low]);
      out = above + row.share * (below - above);
    }
    p.out_yx[y * p.width + x] = out;
  }
}

}  // namespace

int resample(const ResampleParams& p, Stream stream) {
  constexpr std::int64_t kMostRows = 65535;
  const dim3 grid = grid_of(divide_up(p.width, kThreads), p.height < kMostRows ? p.height : kMostRows);
  return start(resample_pixels, grid, kThreads, 0, stream_of(stream), p);
}

}  // namespace gaze::kernels::cuda
