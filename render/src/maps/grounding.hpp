// SPDX-License-Identifier: MIT
// From the figures of an answer's words to verdicts.
#pragma once

#include <gaze/render/grounding_limits.hpp>
#include <gaze/render/word_facts.hpp>

#include <optional>
#include <vector>

namespace gaze {

/// Fills in the grounding of every word, and of the whole answer by the mean focus of its words with content.
/// @param limits  unset: none were measured for this model, its heads and its layers
void judge(const std::optional<GroundingLimits>& limits, std::vector<WordFacts>& words, WordFacts& summary);

/// Whether somebody should look closer: the verdict is weak or not grounded; without limits most words with content
/// look nowhere in particular; or a row has a flag.
bool is_flagged(const WordFacts& summary, const std::vector<WordFacts>& words);

}  // namespace gaze
