// SPDX-License-Identifier: MIT
#include "colormap_tables.hpp"
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct Table {
  std::uint8_t rgb[256][3];
};

__global__ void __launch_bounds__(kThreads) colour_values(const ColourParams p, const __grid_constant__ Table table) {
  __shared__ std::uint8_t rgb[256 * 3];
  for (int i = static_cast<int>(threadIdx.x); i < 256 * 3; i += kThreads) rgb[i] = table.rgb[i / 3][i % 3];
  __syncthreads();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.count; i += step) {
    const float v = p.value[i] > 0 ? p.value[i] : 0.0f;  // NaN too
    const int entry = static_cast<int>(__fadd_rn(__fmul_rn(v < 1 ? v : 1.0f, 255.0f), 0.5f));
    for (int channel = 0; channel < 3; ++channel) p.out_rgb[3 * i + channel] = rgb[3 * entry + channel];
  }
}

}  // namespace

int colour(const ColourParams& p, Stream stream) {
  if (p.count == 0) return 0;
  Table table;
  static_assert(sizeof(table.rgb) == sizeof(ColourTable), "one table");
  std::memcpy(table.rgb, *kColourTables[static_cast<int>(p.colormap)], sizeof(table.rgb));
  constexpr std::int64_t kMostBlocks = 4096;
  const std::int64_t blocks = divide_up(p.count, kThreads);
  return start(colour_values, grid_of(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream_of(stream), p,
               table);
}

}  // namespace gaze::kernels::cuda
