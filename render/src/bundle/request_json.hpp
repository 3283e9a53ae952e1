// SPDX-License-Identifier: MIT
// request.json: everything that must be said about a bundle, for machines.
#pragma once

#include <gaze/render/record.hpp>

#include <string>
#include <vector>

#include "media/map_facts.hpp"

namespace gaze {

struct RequestFacts {
  explicit RequestFacts(const AttentionRecord& of) : record(of) {}

  const AttentionRecord& record;
  TokenFacts tokens;           ///< of the first map
  std::vector<MapFacts> maps;  ///< one for each of the record's; none: nothing was measured
  double render_ms = 0;
  std::vector<std::string> files;
  std::string error_reason, error_message;  ///< set when nothing was drawn
};

/// Valid JSON whatever the record's texts hold; numbers that are not finite become null.
std::string write_json(const RequestFacts& facts);

}  // namespace gaze
