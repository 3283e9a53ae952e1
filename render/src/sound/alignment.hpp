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
  double share_within = 0;     ///< 0..1: share of the word's attention that lies within
};

/// Keys a path visits on one token, both included.
struct KeyRun {
  int64_t first = 0, last = 0;
};

/// Dynamic time warping: the path of highest sum from the first token and key to the last token and key, by steps to
/// the next key, the next token, or both.
/// @param score_tk  [tokens, keys], row-major, finite
/// @return one run per token, ascending; the next begins one key on, or on the same key. Empty without tokens or keys.
/// Ties: both, then the next key. Cost: tokens x keys, and as many bytes.
std::vector<KeyRun> warp(const std::vector<float>& score_tk, int64_t tokens, int64_t keys);

/// Each token's row is median-filtered along time (unless it is all narrower than the filter) and loses what it has
/// everywhere, then every key's column is normalised over the tokens (z-score) and warped, much as openai/whisper's
/// timing.py does; a word has the runs of its tokens. Such runs leave no pause between them: within its run a word
/// keeps the keys where it attends more than the other tokens do.
/// @param map_tk  [tokens, keys], row-major; what is negative or not finite counts as 0
/// @param words   runs of tokens, ascending, each within the tokens; tokens outside of all take part in the path alone
/// @return one span per word, within [0, keys). Starts never descend, and no two overlap unless the words outnumber the
/// keys. A word that stands out nowhere keeps its run, with share_within 0; without keys spans are 0, 1.
/// Cost: tokens x keys, and 13 bytes for each.
std::vector<WordSpan> align_words(const float* map_tk, int64_t tokens, int64_t keys, const std::vector<Word>& words);

/// Moves a start or end that lies in sound to the nearest silent key outward, one that lies in silence to the nearest
/// sounding key inward; by `reach` keys at the most and never past a neighbour. Where there is none it stays.
/// @param level_k  [keys]: root mean square of the sound at each key; spans lie within
void align_to_energy(std::vector<WordSpan>& spans, const std::vector<float>& level_k, int64_t reach);

/// Level under which a key is silent: 3 dB above the recording's quiet (the level that 15 % of its keys keep to), but
/// between 40 and 6 dB below its loudest key. Where the quiet itself lies within 6 dB of the loudest nothing rises and
/// falls as words do, and what is silent is not known: then it is what lies 60 dB below full scale, as it is without
/// any sound. A level that is not finite counts as 0.
float silence_level(const std::vector<float>& level_k);

}  // namespace gaze
