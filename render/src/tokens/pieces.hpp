// SPDX-License-Identifier: MIT
// Tokens as parts of a text.
#pragma once

#include <gaze/render/token_spelling.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "base/for_parts.hpp"

namespace gaze {

/// What a token adds to the text.
struct Piece {
  enum class Front {
    Open,      ///< white space and scripts say whether a word begins here
    Begins,    ///< the tokenizer began a word
    Unmarked,  ///< no label of the answer has a mark: a word, unless scripts know better
    Continues  ///< the tokenizer continued one
  };
  std::string bytes = {};  ///< may begin and end inside a character; white space before a word is part of it
  Front front = Front::Open;
  bool special = false;  ///< no text: the end of an answer, a filler
};

/// What is known of a whole vocabulary from its texts: its marks, and whether it has all of GPT-2's alphabet.
TokenSpelling spelling_of(const std::vector<std::string>& vocabulary);

/// Whether a token is no text, by the looks of it: empty, BERT's [CLS] and its like, or in <angle brackets>, but no
/// "<0xNN>".
bool looks_special(std::string_view token);

/// @param spelling  of the labels' vocabulary; what it leaves open, and all without it, is told by the labels
GAZE_FOR_PARTS std::vector<Piece> pieces_of(const std::vector<std::string>& labels, const TokenSpelling* spelling);

}  // namespace gaze
