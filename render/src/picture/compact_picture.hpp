// SPDX-License-Identifier: MIT
// A picture that waits to be drawn.
#pragma once

#include <gaze/render/medium.hpp>

namespace gaze {

/// Makes a picture's pixels in host memory a JPEG of the size that it will be drawn in; files, pixels of other devices
/// and what is small already stay.
/// @throws gaze::Error, std::bad_alloc; `medium` is then as it was
void compact_picture(int64_t longest_side_pixels, PictureMedium& medium);

}  // namespace gaze
