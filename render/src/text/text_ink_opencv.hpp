// SPDX-License-Identifier: MIT
// How much a word was read, as the colour behind it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/style.hpp>

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "text/text_parts.hpp"

namespace gaze {

class TextInk {
 public:
  explicit TextInk(const Style& style);

  /// Behind a word of value 0..1; the page's paper where that is none.
  [[nodiscard]] cv::Scalar behind(double value) const;
  /// What can be read on a colour.
  [[nodiscard]] static cv::Scalar on(const cv::Scalar& colour);
  /// Of a part's bar.
  [[nodiscard]] static cv::Scalar of(TextPart::Is is);

 private:
  at::Tensor levels_la_;
};

}  // namespace gaze
