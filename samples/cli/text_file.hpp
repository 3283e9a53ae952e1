// SPDX-License-Identifier: MIT
// The text of a request, as a file says it.
#pragma once

#include <gaze/render/prompt_text.hpp>

#include <string>

namespace gaze::cli {

/// What --text names: JSON with the prompt's `ids` or `tokens`, its `text`, and its `sources` (docs/text.md).
struct TextFile {
  Text text;
  std::string prompt;  ///< shown to people
};

/// @throws Refusal naming the field, what is allowed and what was found
TextFile read_text_file(const std::string& path);

}  // namespace gaze::cli
