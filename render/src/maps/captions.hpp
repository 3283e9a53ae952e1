// SPDX-License-Identifier: MIT
// What is said to people about a record, whatever its medium.
#pragma once

#include <gaze/render/record.hpp>

#include <string>

#include "base/for_parts.hpp"

namespace gaze {

/// The words of the answer, joined by spaces.
GAZE_FOR_PARTS std::string answer_text(const AttentionRecord& record);

/// The sentence every page of a map carries, and every bundle.
GAZE_FOR_PARTS std::string evidence_note(const AttentionRecord& record);

/// How heads, layers and sinks were treated, in one line for people.
GAZE_FOR_PARTS std::string describe_choices(const AttentionRecord& record, const MediumMap& map, bool sinks_subtracted);

}  // namespace gaze
