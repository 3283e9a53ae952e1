// SPDX-License-Identifier: MIT
#include "text/text_ink_opencv.hpp"

#include <gaze/ops/overlay.hpp>

#include <algorithm>
#include <cmath>

#include "page/page_opencv.hpp"

namespace gaze {

TextInk::TextInk(const Style& style) : levels_la_(ops::overlay_levels(style.colormap, style.blend)) {}

cv::Scalar TextInk::behind(double value) const {
  const int64_t last = levels_la_.size(0) - 1;
  const auto level = static_cast<int64_t>(std::lround(std::clamp(value, 0.0, 1.0) * static_cast<double>(last)));
  const auto* rgba = levels_la_.const_data_ptr<uint8_t>() + level * 4;
  const double alpha = rgba[3] / 255.0;
  cv::Scalar colour;
  for (int c = 0; c < 3; ++c) colour[c] = page::kPaper[c] * (1 - alpha) + rgba[c] * alpha;
  return colour;
}

cv::Scalar TextInk::on(const cv::Scalar& colour) {
  return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 110 ? cv::Scalar(255, 255, 255) : page::kInk;
}

cv::Scalar TextInk::of(TextPart::Is is) {
  switch (is) {
    case TextPart::Is::Source:
      return {62, 110, 180};
    case TextPart::Is::Own:
      return {96, 150, 110};
    case TextPart::Is::Other:
      return {150, 96, 150};
    case TextPart::Is::Rest:
      return {140, 146, 156};
    case TextPart::Is::Sink:
      break;
  }
  return {205, 208, 212};
}

}  // namespace gaze
