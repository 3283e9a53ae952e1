// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) blend_pixels(const BlendParams p) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.pixels; i += step) {
    const float v = p.value[i] < 1 ? p.value[i] : 1.0f;
    float alpha = 0;
    if (p.value[i] > p.alpha_start && v > p.alpha_start) {  // neither holds for NaN
      const float s = v < p.alpha_full ? (v - p.alpha_start) / (p.alpha_full - p.alpha_start) : 1;
      alpha = p.alpha_max * s * s * (3 - 2 * s);
    }
    for (std::int64_t c = 3 * i; c < 3 * i + 3; ++c) {
      const float mixed = static_cast<float>(p.rgb[c]) * (1 - alpha) + static_cast<float>(p.colour[c]) * alpha;
      p.out_rgb[c] = static_cast<std::uint8_t>(mixed + 0.5f);
    }
  }
}

}  // namespace

int blend(const BlendParams& p, Stream stream) {
  if (p.pixels == 0) return 0;
  constexpr std::int64_t kMostBlocks = 4096;
  const std::int64_t blocks = divide_up(p.pixels, kThreads);
  return start(blend_pixels, grid_of(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream_of(stream), p);
}

}  // namespace gaze::kernels::cuda
