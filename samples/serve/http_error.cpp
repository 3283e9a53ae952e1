// SPDX-License-Identifier: MIT
#include "http_error.hpp"

#include <nlohmann/json.hpp>

namespace gaze::serve {

std::string error_json(const std::string& text) {
  using nlohmann::json;
  return json{{"error", text}}.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace gaze::serve
