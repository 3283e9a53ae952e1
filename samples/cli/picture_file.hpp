// SPDX-License-Identifier: MIT
// Writes a picture that a verb drew.
#pragma once

#include <opencv2/core.hpp>
#include <string>

namespace gaze::cli {

/// `rgb`: 8 bits, 3 channels. @throws Refusal naming --picture when the file cannot be written.
void write_picture(const std::string& path, const cv::Mat& rgb);

}  // namespace gaze::cli
