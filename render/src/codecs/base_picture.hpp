// SPDX-License-Identifier: MIT
// A base picture before the values of a tensor have been looked at, so that nothing waits for its device.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/picture.hpp>

#include <string>

namespace gaze {

struct BasePicture {
  at::Tensor rgb_hwc;  ///< uint8 [height, width, 3], contiguous: on the tensor's device, or the host for a file
  PictureSize whole;   ///< of the picture; a file's pixels may be fewer
  at::Tensor range;    ///< float64 [3] beside it: 1 when all values were finite, the least, the greatest one; undefined
                       ///< when there is nothing to check
  std::string note = {};  ///< of a file: what of it is shown, where that is not all of it
};
constexpr int64_t kRangeFigures = 3;

/// As decode(), but the range is the caller's to check.
/// @param longest_side_pixels  that will be drawn: a file of many more may come back smaller (decode_image). 0: whole
/// @throws gaze::Error (DecodeFailed)
BasePicture decode_unchecked(const Picture& picture, int64_t longest_side_pixels);

/// @param range  the three values on the host
/// @throws gaze::Error (DecodeFailed)
void check_range(const double* range);

}  // namespace gaze
