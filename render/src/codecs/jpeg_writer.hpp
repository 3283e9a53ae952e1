// SPDX-License-Identifier: MIT
// JPEG through libjpeg: straight from RGB rows, without another copy of the picture.
#pragma once

#include <cstdint>
#include <string>

namespace gaze {

/// Baseline, chroma at half the resolution, quality 85: heat is smooth, and so are photographs.
/// @param rgb_hwc  height x width x 3 bytes; each side 1..65500
/// @throws std::bad_alloc; gaze::Error (RenderError) with what libjpeg says
std::string encode_jpeg(const uint8_t* rgb_hwc, int64_t height, int64_t width);

}  // namespace gaze
