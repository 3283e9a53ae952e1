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

/// Pictures of which many show nearly the same: what does not differ from an earlier one is not encoded again. Every
/// file is whole.
class PngSeries {
 public:
  PngSeries();
  ~PngSeries();
  /// As encode_png; a picture that is unlike the one before it is copied.
  std::string encode(const uint8_t* rgb_hwc, int64_t height, int64_t width);

 private:
  struct First;
  std::unique_ptr<First> first_;  // of those that are alike
};

}  // namespace gaze
