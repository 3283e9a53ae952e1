// SPDX-License-Identifier: MIT
// Tokens merged into words.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

struct Word {
  std::string text;
  int64_t first = 0;  ///< first token
  int64_t count = 0;  ///< number of tokens
};

/// Merges sub-word tokens. A token that starts with a space, U+2581 or U+0120 begins a word; one that starts with "##"
/// continues; when no token carries such a mark every token is a word. Special tokens in <angle brackets> and empty
/// ones form no word. The marks are removed from the text.
GAZE_API std::vector<Word> merge_words(const std::vector<std::string>& labels);

}  // namespace gaze
