// SPDX-License-Identifier: MIT
// JSON that somebody wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gaze {

/// @param source  the beginning of every error
/// @throws gaze::Error for what is no JSON, is deeper than 32 lists and objects, or has a field twice.
nlohmann::json parse_document(const std::string& text, const std::string& source);

}  // namespace gaze
