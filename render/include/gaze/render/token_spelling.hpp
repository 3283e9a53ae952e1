// SPDX-License-Identifier: MIT
// How a tokenizer writes its tokens.
#pragma once

#include <optional>
#include <set>
#include <string>

namespace gaze {

/// What the texts of a vocabulary's tokens stand for. As `read_profile` finds it out (docs/tokenizers.md).
struct TokenSpelling {
  enum class Bytes {
    ByLabels,   ///< not known: GPT-2's stand-ins where an answer's labels look like them and make UTF-8
    Likely,     ///< the vocabulary has marks of that alphabet: stand-ins where an answer's labels make UTF-8
    StandIns,   ///< a token is bytes in GPT-2's alphabet, unless it has a character that is none of it
    Themselves  ///< a token is the bytes of its text
  };
  enum class Words {
    ByLabels,  ///< not known: by the marks that an answer's labels have
    Each,      ///< every token begins one
    Spaces,    ///< a word begins at white space, which `mark` may stand for
    Prefix,    ///< a token that begins with `mark` continues one
    Suffix,    ///< a token that ends with `mark` ends one
    Joiner     ///< a token that ends with `mark` is continued by the next one
  };
  Bytes bytes = Bytes::ByLabels;
  bool byte_fallback = true;  ///< "<0xNN>" is the byte NN
  Words words = Words::ByLabels;
  std::string mark = {};
  /// Texts of the tokens that are no text; unset: `[CLS]`, `[SEP]`, ... and what stands in angle brackets.
  std::optional<std::set<std::string>> special = {};

  bool operator==(const TokenSpelling&) const = default;
};

}  // namespace gaze
