// SPDX-License-Identifier: MIT
// Text for a font that knows ASCII only.
#pragma once

#include <string>
#include <string_view>

namespace gaze {

struct Plain {
  std::string text;
  bool lossy = false;  ///< some character had no likeness and became '?'
};

/// UTF-8 to printable ASCII: Latin letters lose their marks, also those that are characters of their own behind them,
/// typographic quotes and dashes become plain ones, anything else (and what is not UTF-8) becomes '?', control
/// characters a space. Reads and writes no more than a page can show: behind `most` characters of the result follows
/// "...".
Plain to_ascii(std::string_view utf8, size_t most);

}  // namespace gaze
