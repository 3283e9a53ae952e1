// SPDX-License-Identifier: MIT
#include "base/utf8.hpp"

namespace gaze {

Utf8 decode_utf8(std::string_view bytes) {
  const auto at = [&](size_t i) -> uint32_t { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0; };
  const uint32_t lead = at(0);
  if (lead < 0x80) return {.code = lead, .length = 1, .valid = true};
  const size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  if (length == 0) return {};
  // The second byte decides about overlong forms, surrogates and the upper end.
  const uint32_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint32_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return {};
  uint32_t code = lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return {.length = i};
    code = code << 6 | (at(i) & 0x3F);
  }
  return {.code = code, .length = length, .valid = true};
}

std::string_view beginning(std::string_view text, size_t most) noexcept {
  if (text.size() <= most) return text;
  while (most > 0 && (text[most] & 0xC0) == 0x80) --most;
  return {text.data(), most};
}

std::string one_line(std::string_view bytes) {
  std::string line;
  while (!bytes.empty()) {
    const Utf8 character = decode_utf8(bytes);
    const uint32_t code = character.code;
    if (!character.valid) {
      line += "\xEF\xBF\xBD";
    } else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029) {
      line += ' ';
    } else {
      line += bytes.substr(0, character.length);
    }
    bytes.remove_prefix(character.length);
  }
  return line;
}

std::string excerpt(std::string_view text, size_t most) {
  return one_line(beginning(text, most)) + (text.size() > most ? "..." : "");
}

}  // namespace gaze
