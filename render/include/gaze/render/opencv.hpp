// SPDX-License-Identifier: MIT
// cv::Mat as a base picture. The one public header that includes OpenCV, which the host links itself: Gaze does not.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/picture.hpp>

#include <opencv2/core/check.hpp>
#include <opencv2/core/mat.hpp>

namespace gaze {

/// Copies an 8-bit 1-, 3- or 4-channel cv::Mat (any step) into a picture. Cost: one pass.
/// @throws gaze::Error (DecodeFailed) for other depths or channel counts.
inline Picture picture(const cv::Mat& mat, ChannelOrder order = ChannelOrder::Bgr) {
  if (mat.empty() || mat.dims != 2 || mat.depth() != CV_8U || mat.channels() == 2 || mat.channels() > 4) {
    throw Error("picture: expected an 8-bit cv::Mat of 1, 3 or 4 channels, got " + std::to_string(mat.cols) + " x " +
                    std::to_string(mat.rows) + ", type " + cv::typeToString(mat.type()) +
                    ". Convert it with convertTo.",
                DropReason::DecodeFailed);
  }
  return Picture::from_pixels(mat.data, mat.rows, mat.cols, mat.channels(), static_cast<int64_t>(mat.step), order);
}

/// A cv::Mat header (8UC3, RGB order) over a contiguous CPU uint8 [H, W, 3] tensor; valid while the tensor lives.
/// @throws gaze::Error (RenderError) for other tensors.
inline cv::Mat view(const at::Tensor& rgb_hwc) {
  if (!rgb_hwc.defined() || rgb_hwc.dim() != 3 || rgb_hwc.size(2) != 3 || rgb_hwc.scalar_type() != at::kByte ||
      !rgb_hwc.is_cpu() || !rgb_hwc.is_contiguous()) {
    throw Error("view: expected a contiguous CPU uint8 tensor [height, width, 3], got " +
                    (rgb_hwc.defined() ? rgb_hwc.toString() + " of " + std::to_string(rgb_hwc.dim()) + " dimensions"
                                       : std::string("an undefined tensor")) +
                    ". Call .cpu().contiguous() first.",
                DropReason::RenderError);
  }
  return {static_cast<int>(rgb_hwc.size(0)), static_cast<int>(rgb_hwc.size(1)), CV_8UC3, rgb_hwc.data_ptr()};
}

}  // namespace gaze
