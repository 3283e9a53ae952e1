// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// Moves one element, and leaves 0.
template <typename T>
__device__ void move(T* to, T* from, bool fits) {
  if (fits) *to = *from;
  *from = 0;
}

/// Block (x, b): some cells of a batch row.
__global__ void __launch_bounds__(kThreads) append_rows(const AppendParams p) {
  const std::int64_t b = blockIdx.y;
  std::int32_t* const count = p.count_n + b * gridDim.x + blockIdx.x;
  const std::int64_t step = *count;
  const bool fits = step < p.steps;
  const std::int64_t row = step * p.rows + b;
  float* const from_c = p.from.map_tc + b * p.from.map_stride_t;
  float* const to_c = p.to.map_tc + row * p.to.map_stride_t;
  for (std::int64_t c = blockIdx.x * kThreads + threadIdx.x; c < p.from.cells; c += gridDim.x * kThreads)
    move(to_c + c, from_c + c, fits);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    move(p.to.weight_t + row, p.from.weight_t + b, fits);
    move(p.to.mass_t + row, p.from.mass_t + b, fits);
    move(p.to.visible_t + row, p.from.visible_t + b, fits);
    move(p.to.calls_t + row, p.from.calls_t + b, fits);
    move(p.to.flags_t + row, p.from.flags_t + b, fits);
    move(p.to.rows_t + row, p.from.rows_t + b, fits);
  }
  __syncthreads();  // all have read the count
  if (threadIdx.x == 0 && step < INT32_MAX) *count = static_cast<std::int32_t>(step + 1);
}

}  // namespace

int load_append() { return load(append_rows); }

int append(const AppendParams& p, Stream stream) {
  if (p.rows == 0) return 0;
  return start(append_rows, grid_of(append_blocks(p.from.cells), p.rows), kThreads, 0, stream_of(stream), p);
}

}  // namespace gaze::kernels::cuda
