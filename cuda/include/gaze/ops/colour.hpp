// SPDX-License-Identifier: MIT
// Scalar values to colours.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

/// Turbo, Inferno, Viridis, Cividis and Gray are sequential (high = warm or bright);
/// Diverging (blue - white - red) is for signed differences, 0.5 = no difference.
enum class Colormap { Turbo, Inferno, Viridis, Cividis, Gray, Diverging };

/// @param value  float32 of any shape, 0..1; clamped; NaN becomes 0
/// @return uint8 [..., 3] RGB on the same device: entry round(255 v) of a 256-entry table. Asynchronous.
/// Sources: turbo: Mikhailov 2019; inferno, viridis: van der Walt & Smith 2015; cividis: Nunez et al. 2018.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API at::Tensor colour(const at::Tensor& value, Colormap colormap);

}  // namespace gaze::ops
