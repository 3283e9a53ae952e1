// SPDX-License-Identifier: MIT
#include "tokens/byte_level.hpp"

#include "base/utf8.hpp"

namespace gaze {

int stood_for(uint32_t code) noexcept {
  // Printable bytes stand for themselves, the others follow from U+0100 on.
  const bool printable = (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD);
  if (printable) return static_cast<int>(code);
  if (code < 0x100 || code > 0x143) return -1;
  if (code == 0x143) return 0xAD;
  return static_cast<int>(code <= 0x120 ? code - 0x100 : code - 0x121 + 0x7F);
}

std::optional<std::string> bytes_of_stand_ins(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const Utf8 character = decode_utf8(token);
    const int byte = character.valid ? stood_for(character.code) : -1;
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    token.remove_prefix(character.length);
  }
  return bytes;
}

}  // namespace gaze
