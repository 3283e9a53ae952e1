// SPDX-License-Identifier: MIT
// What each word of an answer read: its share of attention on every part of the prompt, and on every word.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>
#include <gaze/render/word_facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/for_parts.hpp"
#include "maps/token_facts.hpp"
#include "text/text_keys.hpp"
#include "text/text_parts.hpp"

namespace gaze {

/// A word among the keys.
struct ReadWord {
  std::string text;
  int64_t first_key = 0, keys = 0;
  int32_t part = 0;
  bool joined = false;  ///< no space stands before it
};

/// Words [first, first + count) of ReadWords.
struct ReadWindow {
  size_t first = 0, count = 0;
  double mass = 0;  ///< share of attention on them
};

/// Of everything below row 0 is the whole answer, the mean over its words with content, or over all where none has;
/// then each word, the mean over its tokens. Tensors are on the host.
struct TextAnalysis {
  TextKeys keys;
  TextParts parts;
  TokenFacts tokens;
  std::vector<WordFacts> words;  ///< of the answer; their mass is that on words, sinks and other media left out
  WordFacts summary;
  std::optional<WordRule> word_rule;
  double range_max_lift = 1;
  bool sinks_subtracted = false;
  std::vector<ReadWord> read;  ///< in the order of the keys
  at::Tensor share_tk;         ///< float32 [tokens, keys]: rows sum to 1, or to 0 where a token had no row
  at::Tensor share_lk;         ///< likewise of the answer and its words
  at::Tensor mass_tp;          ///< float32 [tokens, parts]
  at::Tensor mass_lp;
  at::Tensor shown_lr;  ///< float32 [1 + words, read]: lift, sinks taken off; of a word that of its strongest token
  at::Tensor lift_lr;   ///< likewise, raw
};

/// @throws gaze::Error as `analyse`
TextAnalysis analyse_text(const AttentionRecord& record, const MediumMap& map, const TextMedium& medium,
                          const ops::Route& route);

/// The words of one part that row `l` looked at most, most first; none that it looked at by less than uniform
/// attention.
GAZE_FOR_PARTS std::vector<size_t> top_words(const TextAnalysis& text, int64_t l, int32_t part, size_t most);

/// The stretch of a part's words that holds most of row l's attention on it; with `window` words all are one.
GAZE_FOR_PARTS ReadWindow best_window(const TextAnalysis& text, int64_t l, int32_t part, size_t window);

/// How alike a row looks at the passages, token by token: the entropy of their shares of attention per token, over that
/// of as many alike. 0: at one alone, 1: at all alike; unset with fewer than two.
std::optional<double> passages_entropy(const TextAnalysis& text, int64_t l);

/// Above this entropy no passage stands out (docs/text.md).
constexpr double kFlatEntropy = 0.85;

/// Of the whole answer.
GAZE_FOR_PARTS bool is_flat(const TextAnalysis& text);

/// The keys that a matrix has a column for: neither another medium's nor padding, which nothing looked at.
GAZE_FOR_PARTS std::vector<int64_t> matrix_keys(const TextAnalysis& text);

/// The row's share on a word.
double mass_of(const TextAnalysis& text, int64_t l, const ReadWord& word);

/// Of an answer's whole attention: that on the part, as many times as uniform attention over the keys has it.
double lift_of(const TextAnalysis& text, int64_t l, int32_t part);

}  // namespace gaze
