// SPDX-License-Identifier: MIT
// sources.json: the share of attention on every source, word by word of the answer.
#pragma once

#include <gaze/render/record.hpp>

#include <string>

#include "text/text_analysis.hpp"

namespace gaze {

/// As docs/text.md describes it.
std::string sources_json(const AttentionRecord& record, const TextMedium& medium, const TextAnalysis& text);

}  // namespace gaze
