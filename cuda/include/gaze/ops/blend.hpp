// SPDX-License-Identifier: MIT
// Colours over the base picture.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

struct BlendOptions {
  double alpha_max = 0.7;     ///< the highest opacity, 0..1
  double alpha_start = 0.05;  ///< values at or below stay fully transparent, 0..1
  double alpha_full = 0.3;    ///< values at or above have the highest opacity, alpha_start..1
};

/// out = round(base (1 - a) + colour a), a = alpha_max * smoothstep((value - start) / (full - start)).
/// A pixel with value <= start keeps its base exactly. Opacity says that there is attention, colours say how much: were
/// it to grow all the way up, the base's own colours would be taken for other values.
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
