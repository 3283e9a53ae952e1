// SPDX-License-Identifier: MIT
// The retrieval reader: its files, its tokens, its prompts.
#pragma once

#include <gaze/render/profile.hpp>
#include <gaze/render/prompt_text.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loop.hpp"

namespace gaze::cli {

struct Reader {
  std::string model_path;
  Profile profile;
  std::map<std::string, int64_t> ids;  ///< of the vocabulary's pieces

  /// As its tokenizer would: words split at spaces and around punctuation, then into the longest pieces.
  /// @throws Refusal for a word that has none
  [[nodiscard]] std::vector<int64_t> tokens(const std::string& text) const;
  /// [BOS] passage [SEP] ... question [SEP], and which of it is whose: "doc-1", ..., and the question.
  [[nodiscard]] Text prompt(const std::vector<std::string>& passages, const std::string& question) const;
  /// What ids of an answer say, its end left out.
  [[nodiscard]] std::string said(const std::vector<int64_t>& answer) const;
};

/// How a host decodes it.
const LoopSettings& reader_loop();

/// @throws Refusal or gaze::Error when the model, its profile or its tokenizer is missing or of another kind
Reader open_reader(const std::string& model_path);

}  // namespace gaze::cli
