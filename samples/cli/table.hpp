// SPDX-License-Identifier: MIT
// Words and their figures as CSV.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gaze::cli {

/// A field as RFC 4180 has it. A text that a spreadsheet would run as a formula, or that begins with an apostrophe,
/// gets an apostrophe before it: taking one off gives every text back.
std::string csv_text(std::string_view text);

/// One row for each word of each answer; an answer without words has one row. Written whole or not at all.
class Table {
 public:
  /// @throws Refusal naming --table where the file cannot be written; likewise the others.
  explicit Table(const std::filesystem::path& file);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  void add(const std::string& folder, const nlohmann::json& request);
  void publish();

 private:
  std::filesystem::path file_, part_;
  std::ofstream out_;
};

}  // namespace gaze::cli
