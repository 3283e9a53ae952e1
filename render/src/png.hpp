// SPDX-License-Identifier: MIT
// PNG files, written fast.
#pragma once

#include <cstdint>
#include <string>

namespace gaze {

/// A whole file of 8-bit RGB; about as large as a PNG of OpenCV's default settings.
/// @param rgb_hwc [height, width, 3], contiguous, at least one pixel
std::string encode_png(const uint8_t* rgb_hwc, int64_t height, int64_t width);

}  // namespace gaze
