// SPDX-License-Identifier: MIT
// What the demos share: the list of what they show, and how they tell of it.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "console.hpp"

namespace gaze::cli {

/// What `read` makes of a demo.json.
/// @throws Refusal when there is none, or when `read` misses what it expects.
template <typename Read>
auto read_demo(const std::filesystem::path& path, const std::string& expected, Read&& read) {
  std::ifstream file(path);
  if (!file)
    throw Refusal("--data: expected " + path.string() + ", found none. Name the folder that holds models/ and data/.");
  try {
    return read(nlohmann::json::parse(file));
  } catch (const nlohmann::json::exception& error) {
    throw Refusal(path.string() + ": expected " + expected + ", got " + error.what() + ". Restore the file.");
  }
}

/// The output folder as it is printed.
inline std::string whole_path(const std::string& out_dir) {
  std::error_code failed;
  const std::filesystem::path where = std::filesystem::absolute(out_dir, failed);
  return printable((failed ? std::filesystem::path(out_dir) : where).lexically_normal().string());
}

}  // namespace gaze::cli
