// SPDX-License-Identifier: MIT
// The recording behind an answer, and what is said about when each word of it was heard.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>
#include <gaze/render/word_facts.hpp>

#include <string>
#include <vector>

namespace gaze {

/// A sound with its samples in memory.
struct Recording {
  at::Tensor samples_ct;  ///< float32 [channels, samples], contiguous, where the tensor was; a file's on the CPU
  int64_t sample_rate_hz = 0;
  double start_seconds = 0;
  std::string note = {};  ///< of a file that states no length: what was done about it

  [[nodiscard]] double seconds() const {
    return static_cast<double>(samples_ct.size(1)) / static_cast<double>(sample_rate_hz);
  }
};

/// Reads a sound's file, or arranges its tensor; integers become -1..1. Values are looked at by nobody: samples that
/// are not finite are found when the recording is drawn.
/// @throws gaze::Error (DecodeFailed) naming expected, got, fix.
GAZE_API Recording decode(const Sound& sound);

/// One word of an answer to a sound, or the summary of all; its mass is that on keys of the recording.
struct TimedWord : WordFacts, WordTimes {};

/// The numbers of an answer to a sound; no picture is made.
struct WordTiming {
  std::vector<TimedWord> words;
  TimedWord summary;
  double seconds = 0;        ///< of the recording
  double start_seconds = 0;  ///< of the recording within a longer one
  double seconds_per_key = 0;
  double range_max_lift = 1;
  bool sinks_subtracted = false;
};

/// Of the record's first map of a sound, as `compose` does for pictures: merges words, normalises over the request,
/// aligns.
/// @throws gaze::Error with the reason, as `compose`.
GAZE_API WordTiming time_words(const AttentionRecord& record);

}  // namespace gaze
