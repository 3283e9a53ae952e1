// SPDX-License-Identifier: MIT
#include "cuda/device.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::uint8_t kLight = 255, kDark = 32;

__global__ void __launch_bounds__(kThreads) blend_pixels(const BlendParams p) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.pixels; i += step) {
    const float v = p.value[i] < 1 ? p.value[i] : 1.0f;
    float alpha = 0;
    if (p.value[i] > p.alpha_start && v > p.alpha_start) {  // neither holds for NaN
      const float s = (v - p.alpha_start) / (1 - p.alpha_start);
      alpha = p.alpha_max * s * s * (3 - 2 * s);
    }
    for (std::int64_t c = 3 * i; c < 3 * i + 3; ++c) {
      const float mixed = static_cast<float>(p.rgb[c]) * (1 - alpha) + static_cast<float>(p.colour[c]) * alpha;
      p.out_rgb[c] = static_cast<std::uint8_t>(mixed + 0.5f);
    }
  }
}

/// Any and all of `inside` along the row around each pixel: bit 0 and bit 1.
__global__ void __launch_bounds__(kThreads) look_along(const ContourParams p, std::uint8_t* near_yx) {
  const std::int64_t x = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (x >= p.width) return;
  const std::int64_t first = x > p.reach ? x - p.reach : 0;
  const std::int64_t last = x + p.reach < p.width - 1 ? x + p.reach : p.width - 1;
  for (std::int64_t y = blockIdx.y; y < p.height; y += gridDim.y) {
    const bool* const inside_x = p.inside_yx + y * p.width;
    bool any = false, all = true;
    for (std::int64_t near = first; near <= last; ++near) {
      any |= inside_x[near];
      all &= inside_x[near];
    }
    near_yx[y * p.width + x] = static_cast<std::uint8_t>((any ? 1 : 0) | (all ? 2 : 0));
  }
}

__global__ void __launch_bounds__(kThreads) draw_edges(const ContourParams p, std::uint8_t* near_yx) {
  const std::int64_t x = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (x >= p.width) return;
  for (std::int64_t y = blockIdx.y; y < p.height; y += gridDim.y) {
    const std::int64_t first = y > p.reach ? y - p.reach : 0;
    const std::int64_t last = y + p.reach < p.height - 1 ? y + p.reach : p.height - 1;
    std::uint8_t any = 0, all = 2;
    for (std::int64_t near = first; near <= last; ++near) {
      any |= near_yx[near * p.width + x] & 1;
      all &= near_yx[near * p.width + x] & 2;
    }
    if (any == 0 || all != 0) continue;
    const std::uint8_t shade = p.inside_yx[y * p.width + x] ? kLight : kDark;
    for (std::int64_t c = 0; c < 3; ++c) p.rgb[3 * (y * p.width + x) + c] = shade;
  }
}

}  // namespace

int blend(const BlendParams& p, Stream stream) {
  if (p.pixels == 0) return 0;
  constexpr std::int64_t kMostBlocks = 4096;
  const std::int64_t blocks = divide_up(p.pixels, kThreads);
  return start(blend_pixels, grid_of(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream_of(stream), p);
}

std::size_t contour_workspace(const ContourParams& p) { return static_cast<std::size_t>(p.height * p.width); }

int contour(const ContourParams& p, void* workspace, Stream stream) {
  if (p.height == 0 || p.width == 0) return 0;
  constexpr std::int64_t kMostRows = 65535;
  const dim3 grid = grid_of(divide_up(p.width, kThreads), p.height < kMostRows ? p.height : kMostRows);
  std::uint8_t* const near_yx = static_cast<std::uint8_t*>(workspace);
  if (const int error = start(look_along, grid, kThreads, 0, stream_of(stream), p, near_yx)) return error;
  return start(draw_edges, grid, kThreads, 0, stream_of(stream), p, near_yx);
}

}  // namespace gaze::kernels::cuda
