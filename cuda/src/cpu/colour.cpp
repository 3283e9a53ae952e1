// SPDX-License-Identifier: MIT
#include "colormap_tables.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {

void colour(const ColourParams& p) {
  const ColourTable& table = *kColourTables[static_cast<int>(p.colormap)];
  for (std::int64_t i = 0; i < p.count; ++i) {
    const float v = p.value[i] > 0 ? p.value[i] : 0.0f;  // NaN too
    const int entry = static_cast<int>((v < 1 ? v : 1.0f) * 255.0f + 0.5f);
    for (int channel = 0; channel < 3; ++channel) p.out_rgb[3 * i + channel] = table[entry][channel];
  }
}

}  // namespace gaze::kernels::cpu
