// SPDX-License-Identifier: MIT
// JSON that somebody wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gaze {

/// @param source  the beginning of every error
/// @throws gaze::Error for what is no JSON, is deeper than 32 lists and objects, or has a field twice.
nlohmann::json parse_document(const std::string& text, const std::string& source);

/// The text of every token id, from a JSON list or an object that holds one as tokens or words.
/// @throws gaze::Error naming the file, what is allowed and what was found.
std::vector<std::string> read_vocabulary(const std::string& path);

}  // namespace gaze
