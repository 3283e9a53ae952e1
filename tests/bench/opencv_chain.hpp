// SPDX-License-Identifier: MIT
// What people write with OpenCV, with every buffer allocated beforehand.
#pragma once

#include <ATen/core/Tensor.h>

#include <opencv2/imgproc.hpp>

namespace gaze_bench {

class OpenCvChain {
 public:
  /// @param rgb_hwc   uint8 [height, width, 3], contiguous; @param value_yx float32 [rows, cols], contiguous, 0..1
  OpenCvChain(const at::Tensor& rgb_hwc, const at::Tensor& value_yx)
      : base_(cv::Mat(static_cast<int>(rgb_hwc.size(0)), static_cast<int>(rgb_hwc.size(1)), CV_8UC3, rgb_hwc.data_ptr())
                  .clone()),
        grid_(cv::Mat(static_cast<int>(value_yx.size(0)), static_cast<int>(value_yx.size(1)), CV_32FC1,
                      value_yx.data_ptr())
                  .clone()) {}

  const cv::Mat& run() {
    cv::resize(grid_, value_, base_.size(), 0, 0, cv::INTER_LINEAR);
    value_.convertTo(level_, CV_8U, 255);
    cv::applyColorMap(level_, colour_, cv::COLORMAP_TURBO);
    cv::addWeighted(base_, 0.5, colour_, 0.5, 0, out_);
    return out_;
  }

 private:
  cv::Mat base_, grid_, value_, level_, colour_, out_;  // made by the first run
};

}  // namespace gaze_bench
