// SPDX-License-Identifier: MIT
#include "kernels.hpp"

namespace gaze::kernels::cpu {

void blend(const BlendParams& p) {
  for (std::int64_t i = 0; i < p.pixels; ++i) {
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

}  // namespace gaze::kernels::cpu
