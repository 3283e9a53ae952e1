// SPDX-License-Identifier: MIT
#include "report_file.hpp"

#include "bundle_file.hpp"
#include "console.hpp"

namespace gaze::cli {

std::optional<Report> parse_report(const std::string& text) {
  constexpr std::string_view kBegin = "<script id=\"data\" type=\"application/json\">", kEnd = "</script>";
  const size_t begin = text.find(kBegin);
  const size_t end = begin == std::string::npos ? begin : text.find(kEnd, begin);
  if (end == std::string::npos) return std::nullopt;
  const size_t from = begin + kBegin.size();
  Report report{text.substr(0, from), text.substr(end), {}};
  report.data = nlohmann::ordered_json::parse(text.begin() + static_cast<std::ptrdiff_t>(from),
                                              text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
  if (!report.data.is_object() || !report.data.contains("request") || !report.data["request"].is_object())
    return std::nullopt;
  return report;
}

std::optional<Report> read_report(const std::filesystem::path& file) {
  constexpr uint64_t kMostBytes = 256 << 20;
  try {
    return parse_report(read_bytes(file, kMostBytes));
  } catch (const Refusal&) {
    return std::nullopt;
  }
}

}  // namespace gaze::cli
