// SPDX-License-Identifier: MIT
// Whether a model's attention supports its answer, without a picture being made.
#pragma once

#include <gaze/render/record.hpp>
#include <gaze/render/word_facts.hpp>

#include <vector>

namespace gaze {

struct GroundedAnswer {
  std::vector<WordFacts> words;  ///< hot_x and hot_y are NaN
  WordFacts summary;             ///< its grounding is that of the whole answer
};

/// Of the record's first map: merges words, normalises over the request, and judges each word and the answer by
/// MediumMap::grounding (docs/grounding.md).
/// @throws gaze::Error with the reason, as `compose`.
GAZE_API GroundedAnswer ground(const AttentionRecord& record);

}  // namespace gaze
