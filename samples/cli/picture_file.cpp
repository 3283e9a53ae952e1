// SPDX-License-Identifier: MIT
#include "picture_file.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "console.hpp"

namespace gaze::cli {

void write_picture(const std::string& path, const cv::Mat& rgb) {
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  bool written = false;
  try {
    written = cv::imwrite(path, bgr);
  } catch (const cv::Exception&) {  // an ending it does not know
  }
  if (!written)
    throw Refusal("--picture: expected a file name ending in .png that can be written, got " + path +
                  ". Check the folder.");
}

}  // namespace gaze::cli
