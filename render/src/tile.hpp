// SPDX-License-Identifier: MIT
// A small copy of a picture that lives on a device only.
#pragma once

#include <ATen/core/Tensor.h>

namespace gaze {

/// Averages areas to shrink, and interpolates bicubically to enlarge, as the host does with its pictures.
/// @param rgb_hwc  uint8 [height, width, 3]
/// @return uint8 [height, width, 3] on the same device, contiguous. Asynchronous.
at::Tensor scale_picture(const at::Tensor& rgb_hwc, int64_t height, int64_t width);

}  // namespace gaze
