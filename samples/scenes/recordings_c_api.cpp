// SPDX-License-Identifier: MIT
// The composer of recordings for Python (ctypes): plain arrays in and out, errors as return codes.
#include <algorithm>
#include <vector>

#include "recordings.hpp"

using gaze::scenes::Clip;
using gaze::scenes::Recording;
using gaze::scenes::RecordingComposer;

extern "C" {

// samples: int16 clips one after the other; offsets: [count + 1]. Null on failure.
void* gaze_recordings_open(const short* samples, const long long* offsets, const int* words, const int* voices,
                           int count) {
  try {
    std::vector<Clip> clips(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      Clip& clip = clips[static_cast<std::size_t>(i)];
      clip.word = words[i];
      clip.voice = voices[i];
      for (long long at = offsets[i]; at < offsets[i + 1]; ++at)
        clip.samples.push_back(static_cast<float>(samples[at]) / 32768.F);
    }
    return new RecordingComposer(std::move(clips));
  } catch (...) {
    return nullptr;
  }
}

void gaze_recordings_close(void* composer) { delete static_cast<RecordingComposer*>(composer); }

// One recording: at most max_samples go to `samples` (the rest is left as it is), at most max_words rows of word, start
// and end seconds to `words`, what is heard beside the words to `disturbance`, of 32 bytes. Returns the number of
// samples, or -1 on failure.
long long gaze_recordings_compose(const void* composer, unsigned long long seed, int min_words, int max_words,
                                  double max_seconds, float* samples, long long max_samples, double* words, int* count,
                                  double* snr_db, char* disturbance) {
  try {
    const Recording recording =
        static_cast<const RecordingComposer*>(composer)->compose(seed, {min_words, max_words, max_seconds});
    const auto length = std::min<long long>(max_samples, static_cast<long long>(recording.samples.size()));
    std::copy_n(recording.samples.begin(), length, samples);
    *count = static_cast<int>(recording.words.size());
    for (const auto& word : recording.words) {
      *words++ = word.word;
      *words++ = word.start_seconds;
      *words++ = word.end_seconds;
    }
    *snr_db = recording.snr_db;
    disturbance[recording.disturbance.copy(disturbance, 31)] = 0;
    return length;
  } catch (...) {
    return -1;
  }
}

}  // extern "C"
