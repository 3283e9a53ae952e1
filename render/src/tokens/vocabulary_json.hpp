// SPDX-License-Identifier: MIT
// Vocabularies in JSON.
#pragma once

#include <string>

#include "tokens/vocabulary_builder.hpp"

namespace gaze {

enum class JsonForm {
  List,      ///< of texts
  Ids,       ///< an object from texts to ids
  Tokenizer  ///< a tokenizer.json
};

/// Told from its content. Of what is not needed, a tokenizer's merges above all, nothing is kept.
/// @param spelling  set where the form is a tokenizer, and says it
/// @throws gaze::Error naming the source, what is allowed and what was found
JsonForm parse_json_vocabulary(const std::string& content, VocabularyBuilder& builder,
                               std::optional<TokenSpelling>& spelling);

}  // namespace gaze
