// SPDX-License-Identifier: MIT
// Where the tokens of a text lie among its characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

struct TokenSpelling;

/// Characters [first, end) of a text, from 0.
struct CharacterSpan {
  int64_t first = 0, end = 0;
};

/// Of each token the characters that it stands for; empty of one that is no text, or that the text does not have.
/// White space and the case of ASCII letters may differ between the two.
/// @return nullopt when the tokens are not those of the text: fewer than nine characters of ten are found in them
std::optional<std::vector<CharacterSpan>> character_places(const std::string& utf8,
                                                           const std::vector<std::string>& labels,
                                                           const TokenSpelling* spelling);

}  // namespace gaze
