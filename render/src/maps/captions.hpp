// SPDX-License-Identifier: MIT
// What is said to people about a record, whatever its medium.
#pragma once

#include <c10/util/ArrayRef.h>
#include <gaze/render/record.hpp>

#include <string>

#include "base/for_parts.hpp"

namespace gaze {

/// The words of the answer, joined by spaces.
GAZE_FOR_PARTS std::string answer_text(const AttentionRecord& record);

/// The sentence that every page carries about its map, and every bundle about all of them.
GAZE_FOR_PARTS std::string evidence_note(c10::ArrayRef<MediumMap> maps);

/// "2026-11-30T00:14:10.123Z", of milliseconds since 1970.
std::string utc_text(int64_t milliseconds);

/// For people: which model, which profile, when (to the minute), where and by what. Empty where nothing is known.
GAZE_FOR_PARTS std::string describe_origin(const AttentionRecord& record);

/// How heads, layers and sinks were treated, in one line for people.
GAZE_FOR_PARTS std::string describe_choices(const AttentionRecord& record, const MediumMap& map, bool sinks_subtracted);

}  // namespace gaze
