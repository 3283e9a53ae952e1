// SPDX-License-Identifier: MIT
// The data of a gallery: scripts of a thousand rows each, which the page loads one after another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace gaze::cli {

/// Rows of one kind into `<folder>/<kind>-0001.js`, ... Nothing that was there changes before `publish`.
class ChunkWriter {
 public:
  static constexpr uint64_t kRows = 1000;  ///< of one script
  /// @throws Refusal naming --out where the folder cannot be written; likewise the others.
  ChunkWriter(std::filesystem::path folder, std::string kind);
  void add(const nlohmann::ordered_json& row);
  /// The scripts in the place of those that were there.
  void publish();
  [[nodiscard]] uint64_t rows() const { return rows_; }
  [[nodiscard]] uint64_t chunks() const { return chunks_; }

 private:
  void end_chunk();
  [[nodiscard]] std::filesystem::path name(uint64_t chunk) const;
  std::filesystem::path folder_;
  std::string kind_;
  std::ofstream out_;
  uint64_t rows_ = 0, chunks_ = 0;
};

/// What a gallery was made of before, read along as the new list is made: both have the newest first.
class OldRows {
 public:
  explicit OldRows(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// The row of a bundle that has not changed since. Addresses are asked for in the order in which they are written.
  std::optional<nlohmann::ordered_json> take(const std::string& address, const std::string& stamp);

 private:
  bool next();
  std::filesystem::path folder_;
  std::ifstream in_;
  uint64_t chunk_ = 0;
  bool ended_ = false;
  nlohmann::ordered_json row_;
  std::string address_;  ///< of row_; empty: none was read yet
};

}  // namespace gaze::cli
