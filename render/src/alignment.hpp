// SPDX-License-Identifier: MIT
// When each word was said, from where its tokens attended.
#pragma once

#include <gaze/render/words.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// Keys [first, end) of a word, and how sure that is.
struct WordSpan {
  int64_t first = 0, end = 0;  ///< end > first
  double confidence = 0;       ///< 0..1: share of the word's attention that lies within
};

/// Dynamic time warping of tokens over keys.
///
/// Each token's row is median-filtered along time, then every key's column is normalised over the tokens (z-score), as
/// openai/whisper's timing.py does; the cheapest monotonic path gives each token a run of keys, a word the runs of its
/// tokens. Within its run a word keeps the keys from where its own attention rises to where it falls.
/// @param map_tk  [tokens, keys], row-major, finite, >= 0
/// @param words   runs of tokens, ascending; tokens outside of all take part in the path alone
/// @return one span per word; starts never descend. Cost: tokens x keys, and as many bytes.
std::vector<WordSpan> align_words(const float* map_tk, int64_t tokens, int64_t keys, const std::vector<Word>& words);

/// Moves starts and ends, by `reach` keys at the most and never past a neighbour, to where the level rises above and
/// falls below the recording's quiet.
/// @param level_k  [keys]: root mean square of the sound at each key
void align_to_energy(std::vector<WordSpan>& spans, const std::vector<float>& level_k, int64_t reach);

/// Level under which a key is silent: between the recording's quietest and loudest keys, never more than 40 dB below
/// the loudest.
float silence_level(const std::vector<float>& level_k);

}  // namespace gaze
