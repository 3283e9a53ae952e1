// SPDX-License-Identifier: MIT
// A number that a picture carries in its corner, through JPEG and through a bundle.
#pragma once

#include <cstdint>
#include <optional>

#include <opencv2/core.hpp>

namespace gaze::serve {

/// Writes over 128 x 16 pixels of the upper left corner. @param number  below 2^24
void write_watermark(cv::Mat& picture, uint32_t number);

/// Of a picture of the same size; none where what stands there is no number.
std::optional<uint32_t> read_watermark(const cv::Mat& picture);

}  // namespace gaze::serve
