// SPDX-License-Identifier: MIT
// cv::Mat as a base picture. The one public header that includes OpenCV.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/picture.hpp>

#include <opencv2/core/mat.hpp>

namespace gaze {

enum class ChannelOrder { Bgr, Rgb };

/// Copies an 8-bit 1-, 3- or 4-channel cv::Mat (any step) into a picture. Cost: one pass.
/// @throws gaze::Error (DecodeFailed) for other depths or channel counts.
GAZE_API Picture picture(const cv::Mat& mat, ChannelOrder order = ChannelOrder::Bgr);

/// A cv::Mat header (8UC3, RGB order) over a contiguous CPU uint8 [H, W, 3] tensor; valid while the tensor lives.
GAZE_API cv::Mat view(const at::Tensor& rgb_hwc);

}  // namespace gaze
