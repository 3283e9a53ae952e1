// SPDX-License-Identifier: MIT
// The spatial mapping against what a preprocessing really does: light a block of the picture, prepare the picture as a
// model's input, look where the light went.
#include <gaze/render/geometry.hpp>

#include <opencv2/imgproc.hpp>

#include "records.hpp"

namespace {

using gaze::Fit;
using gaze::Geometry;

struct Case {
  const char* name;
  Fit fit;
  int width, height;              // of the picture
  int input_width, input_height;  // of the model
  int shorter;
  int rows, cols;
};

// Written from the preprocessors' documentation, in whole pixels, independently of geometry.cpp.
cv::Mat prepare(const cv::Mat& picture, const Case& c) {
  const cv::Size input(c.input_width, c.input_height);
  cv::Size scaled = input;
  if (c.fit == Fit::CentreCrop) {
    const int shorter = c.shorter > 0 ? c.shorter : c.input_height;  // the cases without it have square inputs
    scaled = picture.cols < picture.rows ? cv::Size(shorter, shorter * picture.rows / picture.cols)
                                         : cv::Size(shorter * picture.cols / picture.rows, shorter);
  } else if (c.fit == Fit::Letterbox) {
    const double factor = std::min(1.0 * input.width / picture.cols, 1.0 * input.height / picture.rows);
    scaled = {static_cast<int>(picture.cols * factor + 0.5), static_cast<int>(picture.rows * factor + 0.5)};
  }
  cv::Mat out;
  cv::resize(picture, out, scaled, 0, 0, scaled.width < picture.cols ? cv::INTER_AREA : cv::INTER_LINEAR);
  if (c.fit == Fit::CentreCrop) {
    return out(cv::Rect((scaled.width - input.width) / 2, (scaled.height - input.height) / 2, input.width,
                        input.height))
        .clone();
  }
  if (c.fit == Fit::Letterbox) {
    const int left = (input.width - scaled.width) / 2;
    const int top = (input.height - scaled.height) / 2;
    cv::copyMakeBorder(out, out, top, input.height - scaled.height - top, left, input.width - scaled.width - left,
                       cv::BORDER_CONSTANT, cv::Scalar(0));
  }
  return out;
}

// Lit cell by brute force: the one with the most light, or -1 in darkness.
int brightest_cell(const cv::Mat& input, const Case& c) {
  int best = -1;
  double most = 0;
  for (int row = 0; row < c.rows; ++row) {
    for (int col = 0; col < c.cols; ++col) {
      const int patch_w = c.input_width / c.cols;
      const int patch_h = c.input_height / c.rows;
      const double light = cv::sum(input(cv::Rect(col * patch_w, row * patch_h, patch_w, patch_h)))[0];
      if (light <= most) continue;
      most = light;
      best = row * c.cols + col;
    }
  }
  return best;
}

}  // namespace

CATCH_TEST_CASE("geometry: agrees with light sent through the real preprocessing") {
  const Case cases[] = {
      {"stretched, wide", Fit::Resize, 960, 576, 160, 96, 0, 6, 10},
      {"stretched, proportions changed", Fit::Resize, 300, 500, 224, 112, 0, 8, 16},
      {"stretched, enlarged", Fit::Resize, 120, 80, 224, 224, 0, 14, 14},
      {"crop of a wide picture", Fit::CentreCrop, 640, 480, 224, 224, 256, 7, 7},
      {"crop of a tall picture", Fit::CentreCrop, 333, 777, 224, 224, 224, 14, 14},
      {"crop, shorter side from the input", Fit::CentreCrop, 801, 400, 336, 336, 0, 24, 24},
      {"letterbox, wide", Fit::Letterbox, 1280, 720, 640, 640, 0, 20, 20},
      {"letterbox, tall, input not square", Fit::Letterbox, 250, 611, 320, 192, 0, 6, 10},
  };
  for (const Case& c : cases) {
    CATCH_INFO(c.name);
    Geometry geometry;
    geometry.rows = c.rows;
    geometry.cols = c.cols;
    geometry.fit = c.fit;
    geometry.input_width = c.input_width;
    geometry.input_height = c.input_height;
    geometry.resize_shorter = c.shorter;
    const gaze::ops::CellAffine affine = gaze::place(geometry, c.width, c.height);
    const int block = 8;
    int lit = 0;
    int dark = 0;
    for (int top = 0; top + block <= c.height; top += 3 * block) {
      for (int left = 0; left + block <= c.width; left += 3 * block) {
        CATCH_INFO("block at " << left << ", " << top);
        cv::Mat picture = cv::Mat::zeros(c.height, c.width, CV_32F);
        picture(cv::Rect(left, top, block, block)).setTo(1);
        const cv::Mat input = prepare(picture, c);
        const double x = left + (block - 1) / 2.0;
        const double y = top + (block - 1) / 2.0;
        const int cell = brightest_cell(input, c);
        if (cell < 0) {
          ++dark;
          CATCH_CHECK(gaze::cell_at(geometry, c.width, c.height, x, y) == -1);
          continue;
        }
        // Where all of the light arrived, its centre is known to a fraction of an input pixel.
        const cv::Moments moments = cv::moments(input);
        const bool whole = cv::sum(input.row(0))[0] + cv::sum(input.row(input.rows - 1))[0] + cv::sum(input.col(0))[0] +
                               cv::sum(input.col(input.cols - 1))[0] ==
                           0;
        if (!whole) continue;
        ++lit;
        const double col = (moments.m10 / moments.m00 + 0.5) * c.cols / c.input_width;
        const double row = (moments.m01 / moments.m00 + 0.5) * c.rows / c.input_height;
        CATCH_CHECK(std::abs(affine.scale_x * (x + 0.5) + affine.offset_x - col) < 0.75 * c.cols / c.input_width);
        CATCH_CHECK(std::abs(affine.scale_y * (y + 0.5) + affine.offset_y - row) < 0.75 * c.rows / c.input_height);
        const double from_edge = std::min(std::min(col - std::floor(col), std::ceil(col) - col),
                                          std::min(row - std::floor(row), std::ceil(row) - row));
        if (from_edge > 0.2) CATCH_CHECK(gaze::cell_at(geometry, c.width, c.height, x, y) == cell);
      }
    }
    CATCH_CHECK(lit > 3);
    if (c.fit == Fit::CentreCrop) CATCH_CHECK(dark > 3);
    if (c.fit != Fit::CentreCrop) CATCH_CHECK(dark == 0);
  }
}
