// SPDX-License-Identifier: MIT
// The same load on servers that capture nothing, one in a hundred, and every request, in turns.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "load_clients.hpp"

namespace gaze::serve {

/// Prints each round and a table of medians. @param command  of the server, without --bundles
/// @param folder  for overlays, which are removed after each round
nlohmann::json compare(const std::vector<std::string>& command, const std::string& folder, LoadPlan plan, int rounds,
                       const std::vector<LoadQuestion>& questions);

}  // namespace gaze::serve
