// SPDX-License-Identifier: MIT
// request.json: everything that must be said about a bundle, for machines.
#pragma once

#include <gaze/render/overlay.hpp>
#include <gaze/render/sound.hpp>

#include <optional>
#include <string>
#include <vector>

#include "base/for_parts.hpp"
#include "maps/token_facts.hpp"

namespace gaze {

/// A drawn or measured map and the file it went to (empty: none).
struct Written {
  Overlay overlay;  ///< without its picture
  int32_t flags = 0;
  std::string file;
  std::optional<HeardWord> heard = {};  ///< of a sound
};

/// Of a record that is a sound.
struct SoundFacts {
  double seconds = 0, start_seconds = 0, seconds_per_key = 0;
  int64_t sample_rate_hz = 0, channels = 0;  ///< 0 when there was no recording
  double padding = 0;                        ///< mean share of attention on keys after its end
};

struct Sidecar {
  explicit Sidecar(const AttentionRecord& of) : record(of) {}

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
std::string write_json(const Sidecar& sidecar);

/// The words of the answer, joined by spaces.
GAZE_FOR_PARTS std::string answer_text(const AttentionRecord& record);

/// The sentence every bundle carries.
GAZE_FOR_PARTS std::string evidence_note(const AttentionRecord& record);

/// How heads, layers and sinks were treated, in one line for people.
GAZE_FOR_PARTS std::string describe_choices(const AttentionRecord& record, bool sinks_subtracted);

}  // namespace gaze
