// SPDX-License-Identifier: MIT
// Whether a record's labels are those of its rows, and what is said of how rows became tokens.
#pragma once

#include <gaze/render/record.hpp>

#include <string>

#include "base/for_parts.hpp"

namespace gaze {

/// @throws gaze::Error (Labels) where no row stands for the answer, or where which row belongs to which label cannot be
/// told. Nothing where the record's rows are not known.
void check_labels(const AttentionRecord& record);

/// For people: "Rows: the first of each call (25 rows)." Empty where the last row of one prompt and then a row for each
/// token were taken, and each has its label.
GAZE_FOR_PARTS std::string row_note(const AttentionRecord& record);

}  // namespace gaze
