// SPDX-License-Identifier: MIT
// PNG files, written fast.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace gaze {

/// A whole file of 8-bit RGB; about as large as a PNG of OpenCV's default settings.
/// @param rgb_hwc [height, width, 3], contiguous, at least one pixel
std::string encode_png(const uint8_t* rgb_hwc, int64_t height, int64_t width);

/// Pictures that mostly show the same: only what differs from the first is encoded again. For every picture a whole
/// file, in which the first one's codes serve.
class PngSeries {
 public:
  /// @param height, width  of all pictures
  PngSeries(int64_t height, int64_t width);
  ~PngSeries();
  /// @param rgb_hwc [height, width, 3], contiguous; the first is copied
  std::string encode(const uint8_t* rgb_hwc);

 private:
  struct First;
  int64_t height_, width_;
  std::unique_ptr<First> first_;
};

}  // namespace gaze
