// SPDX-License-Identifier: MIT
// What a renderer measured of a map, and the files it made.
#pragma once

#include <gaze/render/word_facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "maps/token_facts.hpp"

namespace gaze {

/// A drawn or measured map and the file it went to (empty: none).
struct DrawnMap {
  WordFacts facts;
  std::string file;
  std::optional<WordTimes> times = {};  ///< of a sound
};

struct PictureFacts {
  int64_t width = 0, height = 0;  ///< of the original picture
  std::string note;               ///< what of its file is shown, where that is not all of it
};

struct SoundFacts {
  double seconds = 0, start_seconds = 0, seconds_per_key = 0;
  int64_t sample_rate_hz = 0, channels = 0;  ///< 0 when there was no recording
  double padding = 0;                        ///< mean share of attention on keys after its end
  std::string note;                          ///< what its file says of itself that is not so
};

struct MapFacts {
  TokenFacts tokens;
  std::vector<DrawnMap> words;
  DrawnMap summary;
  std::optional<PictureFacts> picture;  ///< where its size is known
  std::optional<SoundFacts> sound;
  double range_max_lift = 1;
  bool sinks_subtracted = false;
  bool mass_is_exact = true;          ///< false: the span's mass was divided as the map is
  std::optional<WordRule> word_rule;  ///< unset: without labels every token is a word
};

}  // namespace gaze
