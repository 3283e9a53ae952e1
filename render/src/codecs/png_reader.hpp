// SPDX-License-Identifier: MIT
// PNG files to pixels, through libpng itself: what its decoder has to say is an error or nothing, never printed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze {

/// Fills `rgb_hwc` ([height, width, 3], contiguous) with the pixels, without their alpha. Of the file's chunks those
/// alone are read that hold pixels or a palette. The checksums of chunks are taken for checked.
/// @return what is wrong with the file; empty: nothing
/// @throws std::bad_alloc
std::string read_png(std::string_view bytes, int64_t height, int64_t width, uint8_t* rgb_hwc);

}  // namespace gaze
