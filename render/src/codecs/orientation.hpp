// SPDX-License-Identifier: MIT
// How a picture lies in its file, as EXIF says it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

namespace gaze {

/// The orientation of an EXIF block (a TIFF header and what follows), 1..8; 1, as stored, where it says none.
int exif_orientation(std::string_view tiff);

/// @param rgb_hwc  as stored
/// @return as it is meant to be seen, contiguous
at::Tensor upright(const at::Tensor& rgb_hwc, int orientation);

}  // namespace gaze
