// SPDX-License-Identifier: MIT
// JPEG files to pixels, through libjpeg itself: what its decoder has to say is an error or nothing, never printed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze {

/// Fills `rgb_hwc` ([height, width, 3], contiguous) with the pixels as they lie in the file.
/// @return what is wrong with the file; empty: nothing
/// @throws std::bad_alloc
std::string read_jpeg(std::string_view bytes, int64_t height, int64_t width, uint8_t* rgb_hwc);

}  // namespace gaze
