// SPDX-License-Identifier: MIT
// What heat is drawn on.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/style.hpp>

#include "base/for_parts.hpp"

namespace gaze {

/// Each pixel's luma (ITU-R BT.601), from 64 to 217: bright and dark enough to see the picture by, and so even that a
/// colour over it is told by the legend. Where that is measured: tests/render/legend_test.cpp.
/// @param rgb_hwc  uint8 [height, width, 3], contiguous
/// @return uint8 [height, width, 3] on the same device, contiguous; the CPU's and other devices' are equal.
/// Asynchronous.
at::Tensor greyed(const at::Tensor& rgb_hwc);

/// The picture as the style has it below the heat.
GAZE_FOR_PARTS at::Tensor ground_of(const at::Tensor& rgb_hwc, const Style& style);

}  // namespace gaze
