// SPDX-License-Identifier: MIT
// The base picture of an overlay, as the host has it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/status.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gaze {

enum class ChannelOrder { Bgr, Rgb };

/// Pixels of the largest picture that is drawn: 120 MB, and as much for each overlay on its way. A file of a few kB may
/// claim as many, and more than the queue's budget ever sees.
constexpr int64_t kMostPixels = 40'000'000;

/// A tensor, encoded bytes or a path; decoding happens on the worker.
struct GAZE_API Picture {
  at::Tensor tensor;        ///< [H,W,3], [H,W,1], [H,W], [3,H,W] or [1,H,W]; uint8 0..255 or floating 0..1; RGB
  std::string path;         ///< an image file; EXIF orientation is applied when `apply_exif`
  std::string encoded;      ///< bytes of an image file
  std::vector<float> mean;  ///< set when `tensor` is a model input: pixel = tensor * std + mean, 0..1
  std::vector<float> std;
  bool apply_exif = true;      ///< false: the model saw the stored pixels, so the overlay shows those
  int64_t expected_width = 0;  ///< when > 0: another size is refused (DecodeFailed)
  int64_t expected_height = 0;

  Picture() = default;
  Picture(at::Tensor rgb) : tensor(std::move(rgb)) {}   // NOLINT: a tensor is a picture
  Picture(std::string file) : path(std::move(file)) {}  // NOLINT: a path is a picture
  Picture(const char* file) : path(file) {}             // NOLINT
  static Picture from_bytes(std::string bytes);
  /// Copies 8-bit pixels of 1 (gray), 3 or 4 (alpha last, dropped) channels. Cost: one pass.
  /// @param pixels      the first row; each begins `step_bytes` after the one before
  /// @throws gaze::Error (DecodeFailed) for other channel counts, no pixels, or rows that overlap
  static Picture from_pixels(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, int64_t step_bytes,
                             ChannelOrder order = ChannelOrder::Rgb);

  [[nodiscard]] bool empty() const { return !tensor.defined() && path.empty() && encoded.empty(); }
};

struct PictureSize {
  int64_t width = 0, height = 0;
};

/// What is known of a picture's size without reading a file: a tensor's, else the expected one; zeros when neither is
/// there, or the tensor is no picture.
GAZE_API PictureSize known_size(const Picture& picture);

/// The picture as uint8 [height, width, 3] RGB, contiguous, on `device` (tensors) or the CPU (files).
/// Tensors of 3 dimensions are HWC when the last extent is 1 or 3 and the first is not; CHW when the first is 1 or 3
/// and the last is not; both: refused as ambiguous. Floating values outside 0..1 (by more than 1e-3, after mean/std) or
/// non-finite ones are refused, as are more than kMostPixels, files that are damaged anywhere, and JPEGs of more than
/// 100 scans. Nothing is printed.
/// @throws gaze::Error (DecodeFailed) naming expected, got, fix.
GAZE_API at::Tensor decode(const Picture& picture);

}  // namespace gaze
