// SPDX-License-Identifier: MIT
// Which parts of a prompt an answer rests on, without a page being made.
#pragma once

#include <gaze/render/record.hpp>
#include <gaze/render/words.hpp>

#include <string>
#include <vector>

namespace gaze {

/// A part of what an answer read: a source that was told apart, or "rest", "own words", "sink", another medium.
struct AnswerSource {
  std::string kind, id;
  bool told_apart = false;
  double mass = 0;  ///< share of attention, 0..1: the mean over the words with content, or over all where none has
};

struct AnswerSources {
  std::vector<AnswerSource> sources;  ///< those told apart first, in the order of their tokens
  std::vector<Word> words;
  std::vector<std::vector<double>> mass_ws;  ///< of each word each source's, the mean over its tokens
  /// How alike the answer looks at the passages, token by token: the entropy of their shares of attention per token,
  /// over that of as many alike. 0: at one alone, or there are fewer than two; 1: at all alike.
  double passages_entropy = 0;
  bool flat = false;  ///< above 0.85: no passage stands out (docs/text.md)
};

/// Of the record's first map over a text. Waits for the record's stream; computes on its device and on the host.
/// @throws gaze::Error with the reason, as `render`; (GridMismatch) without such a map
GAZE_API AnswerSources answer_sources(const AttentionRecord& record);

}  // namespace gaze
