// SPDX-License-Identifier: MIT
// report.html of a bundle: a page, and the data within it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace gaze::cli {

struct Report {
  std::string before, after;    ///< the page around its data
  nlohmann::ordered_json data;  ///< {request, maps}
};

/// None where a page has no data.
std::optional<Report> parse_report(const std::string& text);

/// None where there is no such file, or it has no data.
std::optional<Report> read_report(const std::filesystem::path& file);

}  // namespace gaze::cli
