// SPDX-License-Identifier: MIT
// Pictures that show nothing of what a model is asked for.
#pragma once

#include <opencv2/core.hpp>
#include <scenes/random.hpp>

namespace gaze::cli {

/// Of one random colour, 8UC3.
cv::Mat plain_picture(scenes::Random& random, cv::Size size);

/// Squares of random colours, of one to sixteen pixels of the model's input, 8UC3. @param input  size of that input
cv::Mat noise_picture(scenes::Random& random, cv::Size size, cv::Size input);

}  // namespace gaze::cli
