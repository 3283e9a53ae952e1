// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels.hpp"

namespace gaze::kernels::cpu {

void blend(const BlendParams& p) {
  for (std::int64_t i = 0; i < p.pixels; ++i) {
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

namespace {

constexpr std::uint8_t kLight = 255, kDark = 32;

/// Bytes of one padded row of the workspace.
std::int64_t padded(const ContourParams& p) { return p.width + 2 * p.reach; }

}  // namespace

std::size_t contour_workspace(const ContourParams& p) { return 2 * static_cast<std::size_t>(padded(p)); }

void contour(const ContourParams& p, void* workspace) {
  // Columns first, then along the row. The padding is neutral: the picture's border is not an edge.
  std::uint8_t* const any_x = static_cast<std::uint8_t*>(workspace);
  std::uint8_t* const all_x = any_x + padded(p);
  std::fill_n(any_x, padded(p), std::uint8_t{0});
  std::fill_n(all_x, padded(p), std::uint8_t{1});
  for (std::int64_t y = 0; y < p.height; ++y) {
    const std::int64_t first = std::max<std::int64_t>(0, y - p.reach);
    const std::int64_t last = std::min(p.height - 1, y + p.reach);
    std::fill_n(any_x + p.reach, p.width, std::uint8_t{0});
    std::fill_n(all_x + p.reach, p.width, std::uint8_t{1});
    for (std::int64_t near = first; near <= last; ++near) {
      const bool* inside_x = p.inside_yx + near * p.width;
      for (std::int64_t x = 0; x < p.width; ++x) {
        any_x[p.reach + x] |= static_cast<std::uint8_t>(inside_x[x]);
        all_x[p.reach + x] &= static_cast<std::uint8_t>(inside_x[x]);
      }
    }
    for (std::int64_t x = 0; x < p.width; ++x) {
      std::uint8_t any = 0, all = 1;
      for (std::int64_t near = 0; near <= 2 * p.reach; ++near) {
        any |= any_x[x + near];
        all &= all_x[x + near];
      }
      if (any == all) continue;
      const std::uint8_t shade = p.inside_yx[y * p.width + x] ? kLight : kDark;
      std::fill_n(p.rgb + 3 * (y * p.width + x), 3, shade);
    }
  }
}

}  // namespace gaze::kernels::cpu
