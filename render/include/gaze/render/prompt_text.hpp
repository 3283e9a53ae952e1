// SPDX-License-Identifier: MIT
// The text that a model was asked with, and which parts of it a reader wants told apart.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// What a part of a prompt is: an instruction, the question, a retrieved document, an earlier turn, a tool's result.
enum class SourceKind { System, User, Passage, Turn, Tool };

/// "system", "user", "passage", "turn", "tool".
GAZE_API const char* name(SourceKind kind) noexcept;
/// nullopt when not understood.
GAZE_API std::optional<SourceKind> parse_source_kind(const std::string& text);

/// A part of a prompt, by its tokens or by characters of Text::text: the half-open range that is set.
struct TextSource {
  SourceKind kind = SourceKind::Passage;
  std::string id = {};                               ///< of a document, say; empty: told by kind and number
  int64_t first_token = -1, end_token = -1;          ///< from 0, of the prompt's tokens
  int64_t first_character = -1, end_character = -1;  ///< from 0, in Unicode's characters
};

/// A part of every prompt, by token ids: what stands behind `begin`, up to `end`, or where that is empty up to the next
/// marker's begin or the prompt's end.
struct TextMarker {
  SourceKind kind = SourceKind::User;
  std::vector<int64_t> begin = {}, end = {};
};

/// The prompt of one request, in the order of the keys that its tokens became.
struct Text {
  std::vector<int64_t> ids = {};  ///< padding and all; empty: the model's own input, if the profile says where
  std::vector<std::string> tokens =
      {};                 ///< their text, as the tokenizer writes them; empty: by the profile's vocabulary
  std::string text = {};  ///< the whole prompt in UTF-8; for sources by characters alone
  std::vector<TextSource> sources = {};  ///< not overlapping; one that cannot be placed is left out, and that is said

  [[nodiscard]] bool empty() const { return ids.empty() && tokens.empty() && text.empty() && sources.empty(); }
};

}  // namespace gaze
