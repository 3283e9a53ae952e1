// SPDX-License-Identifier: MIT
// What a report.html holds, read by other code than wrote it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gaze::test {

inline constexpr std::string_view kDataBegin = R"(<script id="data" type="application/json">)", kDataEnd = "</script>";

inline std::string data_text(const std::string& page) {
  const size_t begin = page.find(kDataBegin) + kDataBegin.size();
  return page.substr(begin, page.find(kDataEnd, begin) - begin);
}

inline nlohmann::json data_of(const std::string& page) { return nlohmann::json::parse(data_text(page)); }

/// Another reader than the writer's: by the alphabet's places.
inline std::string decoded(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
    count += 6;
    if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 255);
  }
  return bytes;
}

}  // namespace gaze::test
