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
  bool complete;  ///< the file's own structure reaches its end, and its checksums (PNG) hold
};

/// nullopt when the bytes are none of the formats or the header is damaged.
std::optional<ImageHeader> read_image_header(std::string_view bytes);

}  // namespace gaze
