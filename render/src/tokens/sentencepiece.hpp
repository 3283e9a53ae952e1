// SPDX-License-Identifier: MIT
// SentencePiece's model files, of which the pieces alone are read.
#pragma once

#include <string_view>

#include "tokens/vocabulary_builder.hpp"

namespace gaze {

/// @throws gaze::Error naming the source, what is expected and what was found where
TokenSpelling parse_sentencepiece(std::string_view bytes, VocabularyBuilder& builder);

}  // namespace gaze
