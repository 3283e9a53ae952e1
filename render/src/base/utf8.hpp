// SPDX-License-Identifier: MIT
// Texts that may hold any bytes.
#pragma once

#include <gaze/render/text.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/for_parts.hpp"

namespace gaze {

/// One character, or the bytes in its place that are none.
struct Utf8 {
  uint32_t code = 0xFFFD;  ///< U+FFFD where the bytes are not UTF-8
  size_t length = 1;       ///< bytes; of what is no UTF-8, those that could have begun the same character
  bool valid = false;
};

/// The first character of bytes that are not empty; no overlong forms, no surrogates, nothing above U+10FFFF.
GAZE_FOR_PARTS Utf8 decode_utf8(std::string_view bytes);

/// As much of a text as `most` bytes hold without cutting a character.
GAZE_FOR_PARTS std::string_view beginning(std::string_view text, size_t most) noexcept;

/// A text of somebody else's for a message: in one line, and where it has more than `most` bytes cut there and followed
/// by "...".
GAZE_FOR_PARTS std::string excerpt(std::string_view text, size_t most);

}  // namespace gaze
