// SPDX-License-Identifier: MIT
#include <gaze/render/retention.hpp>

#include <charconv>

namespace gaze {

int64_t parse_duration_seconds(std::string_view text) noexcept {
  constexpr std::string_view kUnits = "smhd";
  constexpr int64_t kSeconds[] = {1, 60, 3600, 86400};
  constexpr int64_t kMostSeconds = int64_t{36500} * 86400;
  const size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  if (unit == std::string_view::npos) return 0;
  int64_t count = 0;
  const char* const end = text.data() + text.size() - 1;
  const auto result = std::from_chars(text.data(), end, count);
  if (result.ec != std::errc() || result.ptr != end || count < 1) return 0;
  return count <= kMostSeconds / kSeconds[unit] ? count * kSeconds[unit] : 0;
}

}  // namespace gaze
