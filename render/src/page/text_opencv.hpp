// SPDX-License-Identifier: MIT
// Text on a picture.
#pragma once

#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

namespace gaze::text {

struct Face {
  double size;    ///< height of a capital letter in pixels
  double stroke;  ///< line width in pixels
  cv::Scalar colour;
};

/// Width in pixels of one line.
int width(const std::string& line, const Face& face);

/// Draws one ASCII line; `left` and `baseline` in pixels. What falls off the picture is cut.
void draw(cv::Mat& rgb, const std::string& line, int left, int baseline, const Face& face);

/// Breaks at spaces, inside a word only where it alone is too wide. At most `most` lines; the last ends in "..." when
/// something was left out.
std::vector<std::string> wrap(const std::string& words, const Face& face, int limit, size_t most);

}  // namespace gaze::text
