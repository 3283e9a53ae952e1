// SPDX-License-Identifier: MIT
#include "watermark.hpp"

#include <opencv2/imgproc.hpp>

namespace gaze::serve {
namespace {

constexpr int kCell = 8, kCols = 16, kRows = 2;  // a cell is a block of a JPEG
constexpr uint32_t kNumber = 0xffffff;

/// So that a picture without a watermark is hardly ever taken for one with.
uint32_t check_of(uint32_t number) { return (number * 2654435761U) >> 24; }

cv::Rect cell(int bit) { return {bit % kCols * kCell, bit / kCols * kCell, kCell, kCell}; }

}  // namespace

void write_watermark(cv::Mat& picture, uint32_t number) {
  const uint32_t bits = (number & kNumber) | check_of(number & kNumber) << 24;
  for (int bit = 0; bit < kCols * kRows; ++bit)
    picture(cell(bit)).setTo(cv::Scalar::all((bits >> bit & 1U) != 0 ? 255 : 0));
}

std::optional<uint32_t> read_watermark(const cv::Mat& picture) {
  if (picture.cols < kCols * kCell || picture.rows < kRows * kCell) return std::nullopt;
  uint32_t bits = 0;
  for (int bit = 0; bit < kCols * kRows; ++bit) {
    const cv::Scalar mean = cv::mean(picture(cell(bit)));
    bits |= (mean[0] + mean[1] + mean[2] > 3 * 127.5 ? 1U : 0U) << bit;
  }
  const uint32_t number = bits & kNumber;
  return check_of(number) == bits >> 24 ? std::optional<uint32_t>(number) : std::nullopt;
}

}  // namespace gaze::serve
