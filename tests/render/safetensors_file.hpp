// SPDX-License-Identifier: MIT
// A safetensors file, read by its specification alone.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/test.hpp"

namespace gaze::test {

// The format by its specification: u64 length, JSON, bytes.
struct Entry {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

inline std::map<std::string, Entry> parse_safetensors(const std::string& file, nlohmann::json* metadata = nullptr) {
  uint64_t length = 0;
  CATCH_REQUIRE(file.size() >= 8);
  std::memcpy(&length, file.data(), 8);
  CATCH_REQUIRE(8 + length <= file.size());
  CATCH_CHECK(length % 8 == 0);
  std::map<std::string, Entry> entries;
  size_t covered = 0;
  const nlohmann::json header = nlohmann::json::parse(file.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (metadata != nullptr) *metadata = entry;
      continue;
    }
    const auto begin = entry.at("data_offsets").at(0).get<size_t>();
    const auto end = entry.at("data_offsets").at(1).get<size_t>();
    CATCH_REQUIRE(begin <= end);
    CATCH_REQUIRE(8 + length + end <= file.size());
    covered += end - begin;
    entries[name] = {entry.at("dtype"), entry.at("shape"), file.substr(8 + length + begin, end - begin)};
  }
  CATCH_CHECK(8 + length + covered == file.size());
  return entries;
}

}  // namespace gaze::test
