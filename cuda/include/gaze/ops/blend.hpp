// SPDX-License-Identifier: MIT
// Colours over the base picture.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

struct BlendOptions {
  double alpha_max = 0.6;     ///< opacity of the highest value, 0..1
  double alpha_start = 0.05;  ///< values at or below stay fully transparent, 0..1
};

/// out = round(base (1 - a) + colour a), a = alpha_max * smoothstep((value - start) / (1 - start)).
/// A pixel with value <= start keeps its base exactly; the base is never rescaled.
///
/// @param rgb_hwc     uint8 [height, width, 3], contiguous
/// @param colour_hwc  uint8 [height, width, 3]
/// @param value_yx    float32 [height, width], 0..1 (NaN = 0)
/// @return uint8 [height, width, 3] on the same device, asynchronous on the current stream.
/// Cost: one read of each input, one write.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API at::Tensor blend(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                          const BlendOptions& options = {});

/// The smallest set of cells that holds `share` of a map's sum (ties by index). All false for an all-zero map.
/// @param map_tc  float32 [tokens, cells], finite, >= 0
/// @param share   0..1
/// @return bool [tokens, cells]
GAZE_API at::Tensor top_mass(const at::Tensor& map_tc, double share = 0.5);

}  // namespace gaze::ops
