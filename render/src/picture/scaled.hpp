// SPDX-License-Identifier: MIT
// A copy of a picture in another size.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/picture.hpp>

#include "base/for_parts.hpp"

namespace gaze {

/// As large as a picture is drawn: its longer side at most `longest_side_pixels`, where that is above 0; each at
/// least 1.
GAZE_FOR_PARTS PictureSize fitted(const PictureSize& whole, int64_t longest_side_pixels);

/// Averages areas to shrink, and interpolates bicubically to enlarge. On the CPU shrinking takes one pass and no memory
/// but that of a few rows.
/// @param rgb_hwc  uint8 [height, width, 3]; on the CPU contiguous
/// @return uint8 [height, width, 3] on the same device, contiguous. Asynchronous.
GAZE_FOR_PARTS at::Tensor scale_picture(const at::Tensor& rgb_hwc, int64_t height, int64_t width);

}  // namespace gaze
