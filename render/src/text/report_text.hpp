// SPDX-License-Identifier: MIT
// What report.html has of a text.
#pragma once

#include "media/map_facts.hpp"
#include "text/text_analysis.hpp"

namespace gaze {

/// All words, or where that would make a page of many megabytes the stretches that any row looked at most.
ReportText report_text(const TextAnalysis& text);

}  // namespace gaze
