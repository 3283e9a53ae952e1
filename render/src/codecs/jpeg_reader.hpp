// SPDX-License-Identifier: MIT
// JPEG files to pixels, through libjpeg itself: what its decoder has to say is an error or nothing, never printed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze {

/// Fills `rgb_hwc` ([height / shrink, width / shrink, 3], rounded up, contiguous) with the pixels as they lie in the
/// file.
/// @param shrink  1, 2, 4 or 8: fewer coefficients of each block are turned into pixels
/// @return what is wrong with the file; empty: nothing
/// @throws std::bad_alloc
std::string read_jpeg(std::string_view bytes, int64_t height, int64_t width, int64_t shrink, uint8_t* rgb_hwc);

}  // namespace gaze
