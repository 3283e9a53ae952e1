// SPDX-License-Identifier: MIT
// What an image file says about itself, read before a decoder allocates anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gaze {

/// Where the first frame of an animated WebP lies on its canvas.
struct WebpFrame {
  int64_t left, top, width, height;
  std::string_view chunk;  ///< of its pixels, with its head: "VP8 " or "VP8L"
};

struct ImageHeader {
  const char* format;     ///< "JPEG", "PNG" or "WebP"
  int64_t width, height;  ///< of an animation: of its canvas
  bool complete;          ///< the file's own structure reaches its end, and its checksums (PNG) hold
  int orientation = 1;    ///< by EXIF, 1..8; as stored
  int64_t scans = 0;      ///< of a JPEG: times its decoder goes over the picture
  int64_t frames = 1;     ///< of an animation; 1: none
  std::optional<WebpFrame> first_frame = {};
};

/// nullopt when the bytes are none of the formats or the header is damaged. What it returns points into `bytes`.
std::optional<ImageHeader> read_image_header(std::string_view bytes);

}  // namespace gaze
