// SPDX-License-Identifier: MIT
// Texts that are hard to lay out, of any length.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gaze::test {

inline std::string repeated(const std::string& unit, size_t bytes) {
  std::string text;
  text.reserve(bytes + unit.size());
  while (text.size() < bytes) text += unit;
  return text;
}

/// A name and at least `bytes` bytes each; without blanks, or with little else.
inline std::vector<std::pair<const char*, std::string>> hard_texts(size_t bytes) {
  return {{"one letter", repeated("a", bytes)},
          {"narrow letters", repeated("il.", bytes)},
          {"Chinese", repeated("\xE4\xB8\xAD\xE6\x96\x87", bytes)},
          {"combining marks", "a" + repeated("\xCC\x81", bytes)},
          {"base64", repeated("QUJD/+8x", bytes)},
          {"an address", "https://a.example/" + repeated("path/%20?x=1&y=2#", bytes)},
          {"markup", repeated("<&>\"", bytes)},
          {"short words", repeated("a b ", bytes)},
          {"lines", repeated("\n", bytes)},
          {"bytes that are no text", repeated("\xFF\xC3", bytes)},
          {"zeros", std::string(bytes, '\0')}};
}

}  // namespace gaze::test
