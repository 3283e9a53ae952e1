// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/render/opencv.hpp>

#include <opencv2/imgproc.hpp>

namespace gaze {

Picture picture(const cv::Mat& mat, ChannelOrder order) {
  if (mat.empty() || mat.dims != 2 || mat.depth() != CV_8U || mat.channels() == 2 || mat.channels() > 4) {
    throw Error("picture: expected an 8-bit cv::Mat of 1, 3 or 4 channels, got " + std::to_string(mat.cols) + " x " +
                    std::to_string(mat.rows) + ", type " + cv::typeToString(mat.type()) +
                    ". Convert it with convertTo.",
                DropReason::DecodeFailed);
  }
  at::Tensor rgb_hwc = at::empty({mat.rows, mat.cols, 3}, at::kByte);
  cv::Mat rgb = view(rgb_hwc);
  const bool bgr = order == ChannelOrder::Bgr;
  switch (mat.channels()) {
    case 1:
      cv::cvtColor(mat, rgb, cv::COLOR_GRAY2RGB);
      break;
    case 3:
      bgr ? cv::cvtColor(mat, rgb, cv::COLOR_BGR2RGB) : mat.copyTo(rgb);
      break;
    default:
      cv::cvtColor(mat, rgb, bgr ? cv::COLOR_BGRA2RGB : cv::COLOR_RGBA2RGB);
      break;
  }
  return {rgb_hwc};
}

cv::Mat view(const at::Tensor& rgb_hwc) {
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
