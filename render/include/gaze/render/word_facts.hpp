// SPDX-License-Identifier: MIT
// What is said about one map, of whatever medium.
#pragma once

#include <gaze/render/grounding.hpp>
#include <gaze/render/words.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace gaze {

/// The token of a word whose attention is the most focused on few cells.
struct SharpestToken {
  int64_t token = -1;   ///< -1: of the summary, or of an answer without tokens
  double max_lift = 0;  ///< of its raw map
  double entropy = 0;   ///< 0..1, of its raw map
  double mass = 0;      ///< share of its attention on the keys shown
  double focus = 0;     ///< 0..1: mass x (1 - entropy); 1: all attention on one cell. Of the summary: mean over words
};

/// Of one word of an answer, or of the summary of all.
struct WordFacts {
  Word word;                       ///< empty text for the summary
  double mass = 0;                 ///< share of attention on the keys shown, mean over the word's tokens
  std::vector<double> frame_mass;  ///< on each frame of a video, the same way; else empty
  double max_lift = 0;             ///< of the raw map
  double entropy = 0;              ///< 0..1, of the raw map
  bool diffuse = false;            ///< flat map, as that of its sharpest token: drawn without hot colours
  double range_max_lift = 1;       ///< shown lift at the top of this map's colours
  int32_t flags = 0;               ///< ops::RowFlag bits of its tokens
  bool content = true;             ///< it says something of what was seen or heard, as "the" and "," do not
  SharpestToken sharpest;
  Grounding grounding;
  /// Hottest pixel of the shown map in the original picture; NaN when nothing is shown, or not on a picture.
  double hot_x = std::numeric_limits<double>::quiet_NaN(), hot_y = std::numeric_limits<double>::quiet_NaN();
};

/// When a word was heard.
struct WordTimes {
  double start_seconds = 0;    ///< from alignment, from the start of the whole recording; NaN for the summary
  double end_seconds = 0;      ///< likewise; at least one key after the start
  double share_within = 0;     ///< 0..1: share of the word's attention, sinks taken off, that lies within start..end
  double hot_seconds = 0;      ///< middle of the hottest key of the shown map; NaN where nothing is shown
  double mass_on_padding = 0;  ///< share on keys after the recording's end
  bool silence = false;        ///< the recording is silent between start and end: the word may be invented
};

}  // namespace gaze
