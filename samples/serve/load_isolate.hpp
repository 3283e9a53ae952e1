// SPDX-License-Identifier: MIT
// Whether each bundle is of its own request: its picture, its words, its trace.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "load_clients.hpp"

namespace gaze::serve {

struct Isolation {
  size_t bundles = 0;  ///< found in the folder
  size_t checked = 0;  ///< of these, of requests that were answered
  size_t mixed = 0;    ///< with the picture, the prompt, the words or the trace of another request
  size_t torn = 0;     ///< without a file that request.json names
  size_t missing = 0;  ///< captured requests without a bundle
  std::vector<std::string> notes;
};

Isolation check_bundles(const std::string& folder, const LoadResult& result,
                        const std::vector<LoadQuestion>& questions);

nlohmann::json json_of(const Isolation& isolation);

}  // namespace gaze::serve
