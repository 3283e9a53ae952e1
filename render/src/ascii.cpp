// SPDX-License-Identifier: MIT
#include "ascii.hpp"

#include <cstdint>

namespace gaze {
namespace {

// U+00C0..U+00FF; "x" and "/" for the two signs among the letters.
constexpr const char* kLatin[64] = {"A", "A", "A", "A", "Ae", "A", "AE", "C", "E", "E", "E", "E", "I",  "I", "I",  "I",
                                    "D", "N", "O", "O", "O",  "O", "Oe", "x", "O", "U", "U", "U", "Ue", "Y", "Th", "ss",
                                    "a", "a", "a", "a", "ae", "a", "ae", "c", "e", "e", "e", "e", "i",  "i", "i",  "i",
                                    "d", "n", "o", "o", "o",  "o", "oe", "/", "o", "u", "u", "u", "ue", "y", "th", "y"};

const char* likeness(uint32_t code) {
  if (code >= 0xC0 && code <= 0xFF) return kLatin[code - 0xC0];
  switch (code) {
    case 0xA0:
      return " ";
    case 0x2018:
    case 0x2019:
      return "'";
    case 0x201C:
    case 0x201D:
      return "\"";
    case 0x2013:
    case 0x2014:
      return "-";
    case 0x2026:
      return "...";
    default:
      return nullptr;
  }
}

// Decodes one character; length 0 where the bytes are not UTF-8.
uint32_t decode_utf8(std::string_view bytes, size_t& length) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  length = lead < 0x80                   ? 1
           : lead >= 0xC2 && lead < 0xE0 ? 2
           : lead >= 0xE0 && lead < 0xF0 ? 3
           : lead >= 0xF0 && lead < 0xF5 ? 4
                                         : 0;
  if (length == 0 || length > bytes.size()) return length = 0;
  uint32_t code = length == 1 ? lead : lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(bytes[i]);
    if ((next & 0xC0) != 0x80) return length = 0;
    code = code << 6 | (next & 0x3F);
  }
  return code;
}

}  // namespace

Plain to_ascii(std::string_view utf8) {
  Plain plain;
  while (!utf8.empty()) {
    size_t length = 0;
    const uint32_t code = decode_utf8(utf8, length);
    if (length == 0) {
      plain.text += '?';
      plain.lossy = true;
      utf8.remove_prefix(1);
      continue;
    }
    utf8.remove_prefix(length);
    if (code < 0x20 || code == 0x7F) {
      plain.text += ' ';
    } else if (code < 0x80) {
      plain.text += static_cast<char>(code);
    } else if (const char* similar = likeness(code)) {
      plain.text += similar;
    } else {
      plain.text += '?';
      plain.lossy = true;
    }
  }
  return plain;
}

}  // namespace gaze
