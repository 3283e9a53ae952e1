// SPDX-License-Identifier: MIT
// A picture in the place of one that was left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze::cli {

struct JpegSize {
  int width = 0, height = 0;  ///< pixels; 0: not a JPEG
};

/// As the file's own header has it.
JpegSize jpeg_size(std::string_view bytes);

/// A JPEG of one grey, a quarter of a byte for each 64 pixels. @param size 1 to 65535 pixels a side
std::string grey_jpeg(JpegSize size);

}  // namespace gaze::cli
