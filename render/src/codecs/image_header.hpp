// SPDX-License-Identifier: MIT
// What an image file says about itself, read before a decoder allocates anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gaze {

struct ImageHeader {
  const char* format;  ///< "JPEG", "PNG" or "WebP"
  int64_t width, height;
  bool complete;        ///< the file's own structure reaches its end, and its checksums (PNG) hold
  int orientation = 1;  ///< by EXIF, 1..8; as stored
  int64_t scans = 0;    ///< of a JPEG: times its decoder goes over the picture
};

/// nullopt when the bytes are none of the formats or the header is damaged.
std::optional<ImageHeader> read_image_header(std::string_view bytes);

}  // namespace gaze
