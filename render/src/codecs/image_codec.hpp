// SPDX-License-Identifier: MIT
// Image files in and out.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/formats.hpp>

#include <functional>
#include <string>

namespace gaze {

/// uint8 [height, width, 3] RGB. `what` begins the error text.
/// @throws gaze::Error (DecodeFailed)
at::Tensor decode_image(const std::string& bytes, bool apply_exif, const std::string& what);

/// @param rgb_hwc uint8 [height, width, 3] on the CPU, contiguous
/// @throws gaze::Error (RenderError)
std::string encode_image(const at::Tensor& rgb_hwc, ImageFormat format);

/// The same for pictures of which many show nearly the same, faster than one by one.
std::function<std::string(const at::Tensor& rgb_hwc)> encoder_of_alike(ImageFormat format);

}  // namespace gaze
