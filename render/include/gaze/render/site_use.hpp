// SPDX-License-Identifier: MIT
// What one attention site did in a request.
#pragma once

#include <gaze/render/site_kind.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// One attention site that contributed.
struct SiteUse {
  std::string name;  ///< as `gaze sites` prints it
  SiteKind kind = SiteKind::Unstated;
  int64_t heads = 0;
  int64_t calls = 0;                       ///< times it ran during the request
  std::vector<int64_t> chosen_heads = {};  ///< the heads that count, ascending; empty: all
  bool gated = false;                      ///< its output is multiplied with a gate before it is added to the rest
  std::optional<double> gate = {};         ///< the gate, -1..1; unset where it is not one constant
};

}  // namespace gaze
