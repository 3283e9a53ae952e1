// SPDX-License-Identifier: MIT
// Vocabularies as tokenizers keep them in files.
#pragma once

#include <gaze/render/token_spelling.hpp>

#include <string>
#include <vector>

namespace gaze {

struct Vocabulary {
  std::vector<std::string> texts;  ///< of all ids; "#id" where the file has none
  TokenSpelling spelling;
};

/// Reads a tokenizer.json, a JSON object from texts to ids, a JSON list of texts (or an object that holds one as tokens
/// or words), a .txt of one text a line, SentencePiece's .model, tiktoken's lines of base64 and rank; and
/// added_tokens.json beside one of those that have no such tokens of their own.
/// @throws gaze::Error naming the file, what is allowed and what was found
Vocabulary read_vocabulary(const std::string& path);

/// The same of a file whose content is read already.
Vocabulary parse_vocabulary(const std::string& content, const std::string& path);

}  // namespace gaze
