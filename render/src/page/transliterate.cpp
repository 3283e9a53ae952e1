// SPDX-License-Identifier: MIT
#include "page/transliterate.hpp"

#include <cstdint>

#include "base/utf8.hpp"

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

}  // namespace

Plain to_ascii(std::string_view utf8, size_t most) {
  Plain plain;
  while (!utf8.empty()) {
    if (plain.text.size() >= most) {
      plain.text.resize(most);
      plain.text += "...";
      return plain;
    }
    const Utf8 character = decode_utf8(utf8);  // U+FFFD, where it is none, has no likeness
    const uint32_t code = character.code;
    utf8.remove_prefix(character.length);
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
