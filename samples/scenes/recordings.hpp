// SPDX-License-Identifier: MIT
// The one composer of spoken recordings: single words laid on a timeline, so where each is heard is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::scenes {

inline constexpr int kSampleRateHz = 16000;

/// One spoken word, without silence around it.
struct Clip {
  int word = 0;
  int voice = 0;
  std::vector<float> samples;  // -1..1 at kSampleRateHz
};

struct SpokenWord {
  int word = 0;
  double start_seconds = 0;
  double end_seconds = 0;
};

struct Recording {
  std::vector<float> samples;  // -1..1 at kSampleRateHz
  std::vector<SpokenWord> words;
  int voice = 0;
  std::string disturbance;  // "none", or what is heard beside the words
  double snr_db = 0;        // of the words to the disturbance, both as mean power while words are heard
};

struct RecordingLimits {
  int min_words = 3;
  int max_words = 8;
  double max_seconds = 8;  // words that do not fit are left out, down to min_words
};

class RecordingComposer {
 public:
  /// Every voice must say every word at least once.
  explicit RecordingComposer(std::vector<Clip> clips);

  /// Same arguments, same recording. Safe to call from several threads.
  Recording compose(std::uint64_t seed, const RecordingLimits& limits = {}) const;

 private:
  std::vector<Clip> clips_;
  int words_ = 0;
  std::vector<int> voices_;                         // names of the voices, ascending
  std::vector<std::vector<std::vector<int>>> own_;  // [voice][word] -> clips
};

}  // namespace gaze::scenes
