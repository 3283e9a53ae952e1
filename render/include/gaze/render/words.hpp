// SPDX-License-Identifier: MIT
// Tokens merged into words.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/token_spelling.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

struct Word {
  std::string text;
  int64_t first = 0;                 ///< first token
  int64_t count = 0;                 ///< number of tokens
  bool joined = false;               ///< the text has no space between it and the word before it
  std::optional<bool> content = {};  ///< where the text stands for another: whether that one had content
};

/// By what the words of an answer were told apart.
struct WordRule {
  /// "marks": the tokenizer's, and white space. Where the answer's script sets no spaces between words also what
  /// Unicode and its dictionaries say, "ICU 72.1", or that each token begins one, "tokens".
  std::string name = "marks";
  std::string note = {};  ///< why "tokens"
};

/// Merges tokens into words. A token that is no text (special) forms none; every other one belongs to one word, in
/// order, unless all text beside it, up to special tokens, is white space. Marks of a tokenizer, and white space at
/// both ends, are taken off the text; what stands for bytes becomes bytes, which need not be UTF-8. No word begins
/// inside a character, nor, in scripts that set no spaces between words, inside a word of ICU's dictionaries; without
/// ICU each token begins one there (docs/tokenizers.md).
/// @param spelling  how the labels are written; null: told by the labels themselves
/// @param rule  receives by what the words were told apart; null: not asked
GAZE_API std::vector<Word> merge_words(const std::vector<std::string>& labels, const TokenSpelling* spelling = nullptr,
                                       WordRule* rule = nullptr);

}  // namespace gaze
