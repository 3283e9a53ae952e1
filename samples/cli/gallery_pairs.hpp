// SPDX-License-Identifier: MIT
// The same requests in two directories.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gaze::cli {

/// A bundle that may have a fellow in the other directory.
struct Pairable {
  std::string request_id, folder;
  uint64_t row = 0;  ///< of the gallery
  size_t root = 0;   ///< 0 or 1
};

/// Pairs by request id. Where an id stands several times in a directory, the newest of one is the fellow of the newest
/// of the other, and so on. `bundles`: the newest first.
std::vector<std::pair<Pairable, Pairable>> pairs_of(const std::vector<Pairable>& bundles);

/// What the rows do not say of two bundles: {a, b, moved, why}, the sum of |difference| of their maps, 0 to 2, or why
/// there is none.
nlohmann::ordered_json pair_row(const Pairable& a, const Pairable& b);

}  // namespace gaze::cli
