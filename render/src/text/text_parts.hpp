// SPDX-License-Identifier: MIT
// The parts of a row of keys: what the host or the profile tells apart, and what stands beside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/for_parts.hpp"
#include "text/text_keys.hpp"

namespace gaze {

struct TextPart {
  enum class Is {
    Source,  ///< told apart by host or profile
    Rest,    ///< of the prompt
    Other,   ///< another medium
    Own,     ///< the answer's words before
    Sink     ///< draws weight whatever is asked: the first token, tokens that are no text
  };
  Is is = Is::Source;
  std::string kind;       ///< "passage", "rest", "picture", "own words", "sink"
  std::string id;         ///< as the host has it; of a sink which one
  int64_t first_key = 0;  ///< of a source
  int64_t end_key = 0;

  [[nodiscard]] bool is_read() const { return is == Is::Source || is == Is::Rest || is == Is::Own; }
};

struct TextParts {
  std::vector<TextPart> parts;     ///< sources in the order of their keys first
  std::vector<int32_t> part_k;     ///< of every key
  std::vector<std::string> notes;  ///< which sources are left out, and why
};

/// A source that cannot be placed (beyond the prompt, empty, over another one) is left out, and a note says so.
/// @param seen_k  which keys any token looked at: special tokens that none did are padding
TextParts divide_keys(const TextMedium& medium, const TextKeys& keys, const std::vector<bool>& seen_k);

/// "passage doc-17"
GAZE_FOR_PARTS std::string title(const TextPart& part);

}  // namespace gaze
