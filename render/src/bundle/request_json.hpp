// SPDX-License-Identifier: MIT
// request.json: everything that must be said about a bundle, for machines.
#pragma once

#include <gaze/render/record.hpp>
#include <gaze/render/sound.hpp>
#include <gaze/render/word_facts.hpp>

#include <optional>
#include <string>
#include <vector>

#include "maps/token_facts.hpp"

namespace gaze {

/// A drawn or measured map and the file it went to (empty: none).
struct Written {
  WordFacts facts;
  std::string file;
  std::optional<WordTimes> times = {};  ///< of a sound
};

/// Of a record that is a sound.
struct SoundFacts {
  double seconds = 0, start_seconds = 0, seconds_per_key = 0;
  int64_t sample_rate_hz = 0, channels = 0;  ///< 0 when there was no recording
  double padding = 0;                        ///< mean share of attention on keys after its end
};

struct RequestFacts {
  explicit RequestFacts(const AttentionRecord& of) : record(of) {}

  const AttentionRecord& record;
  TokenFacts tokens;
  std::vector<Written> words;
  Written summary;
  bool measured = false;          ///< words and summary are filled
  int64_t width = 0, height = 0;  ///< of the original picture; 0 = unknown
  std::optional<SoundFacts> sound;
  double range_max_lift = 1;
  bool sinks_subtracted = false;
  bool mass_is_exact = true;  ///< false: the span's mass was divided as the map is
  double render_ms = 0;
  std::vector<std::string> files;
  std::string error_reason, error_message;  ///< set when nothing was drawn
};

/// Valid JSON whatever the record's texts hold; numbers that are not finite become null.
std::string write_json(const RequestFacts& sidecar);

}  // namespace gaze
