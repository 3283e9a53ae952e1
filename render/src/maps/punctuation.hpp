// SPDX-License-Identifier: MIT
// Which tokens are written and not said.
#pragma once

#include <gaze/render/token_spelling.hpp>

#include <string>
#include <vector>

namespace gaze {

/// Of each token whether it is punctuation, with or without white space, and nothing else. A character that several
/// tokens make counts for all of them.
/// @param spelling  how the labels are written; null: told by the labels themselves
std::vector<bool> punctuation_tokens(const std::vector<std::string>& labels, const TokenSpelling* spelling);

}  // namespace gaze
