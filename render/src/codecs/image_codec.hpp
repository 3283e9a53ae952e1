// SPDX-License-Identifier: MIT
// Image files in and out.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/formats.hpp>
#include <gaze/render/picture.hpp>

#include <functional>
#include <string>

namespace gaze {

struct DecodedImage {
  at::Tensor rgb_hwc;  ///< uint8 [height, width, 3]
  PictureSize whole;   ///< of the file's picture, where that is not all of its pixels
  std::string note;    ///< what its reader should know: "the first of 3 frames"; empty: nothing
};

/// `what` begins the error text. Besides the pixels it takes 5 bytes a pixel (WebP), 6 (progressive JPEG) or a few
/// rows.
/// @param longest_side_pixels  that will be drawn: a JPEG of twice as many or more is decoded in a half, a quarter or
/// an
///                             eighth of its size, but no smaller than this. 0: whole
/// @throws gaze::Error (DecodeFailed)
DecodedImage decode_image(const std::string& bytes, bool apply_exif, const std::string& what,
                          int64_t longest_side_pixels);

/// @param rgb_hwc uint8 [height, width, 3] on the CPU, contiguous
/// @throws gaze::Error (RenderError)
std::string encode_image(const at::Tensor& rgb_hwc, ImageFormat format);

/// The same for pictures of which many show nearly the same, faster than one by one.
std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format);

}  // namespace gaze
