// SPDX-License-Identifier: MIT
// WebP files to pixels and back, through libwebp itself, which prints nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze {

/// Fills `rgb_hwc` ([height, width, 3], contiguous) with the pixels of a file without animation, without their alpha.
/// @return what is wrong with the file; empty: nothing
std::string read_webp(std::string_view bytes, int64_t height, int64_t width, uint8_t* rgb_hwc);

/// Lossy, quality 92.
/// @param rgb_hwc  height x width x 3 bytes
/// @throws gaze::Error (RenderError)
std::string encode_webp(const uint8_t* rgb_hwc, int64_t height, int64_t width);

}  // namespace gaze
