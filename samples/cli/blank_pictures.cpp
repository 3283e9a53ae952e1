// SPDX-License-Identifier: MIT
#include "blank_pictures.hpp"

#include <opencv2/imgproc.hpp>

namespace gaze::cli {

cv::Mat plain_picture(scenes::Random& random, cv::Size size) {
  const int red = random.below(256);
  const int green = random.below(256);
  const int blue = random.below(256);
  return {size, CV_8UC3, cv::Scalar(red, green, blue)};
}

cv::Mat noise_picture(scenes::Random& random, cv::Size size, cv::Size input) {
  const int side = 1 << random.below(5);
  cv::Mat squares(input.height / side, input.width / side, CV_8UC3);
  for (int64_t i = 0; i < static_cast<int64_t>(squares.total()) * 3; ++i)
    squares.data[i] = static_cast<uchar>(random.below(256));
  cv::Mat picture;
  cv::resize(squares, picture, size, 0, 0, cv::INTER_NEAREST);
  return picture;
}

}  // namespace gaze::cli
