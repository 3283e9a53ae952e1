// SPDX-License-Identifier: MIT
// What replaces the texts of an answer and of a prompt.
#pragma once

#include <gaze/render/redaction.hpp>

namespace gaze {

/// The answer's tokens that are named become kRedacted, each a word of its own.
void black_out_answer(const Redaction& redaction, AttentionRecord& record);
/// Likewise of a prompt's tokens.
void black_out_prompt(const Redaction& redaction, const AttentionRecord& record, TextMedium& medium, MediumMap& map);

/// @param hash  null: texts become numbers
void leave_out_answer(const HashText& hash, AttentionRecord& record);
void leave_out_prompt(const HashText& hash, const AttentionRecord& record, TextMedium& medium, MediumMap& map);

}  // namespace gaze
