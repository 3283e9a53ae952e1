// SPDX-License-Identifier: MIT
// Where the samples of a sound file lie, by the file's own structure, and whether it says how many they are. Who writes
// into a pipe cannot go back to its header, and leaves a number there that means "unknown".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

struct SoundExtent {
  uint64_t stated_bytes = 0;     ///< of samples, by the header
  uint64_t following_bytes = 0;  ///< that the file holds from the first sample on
  int64_t block_bytes = 0;       ///< of one sample of every channel; 0: compressed, or not known
  bool known = true;             ///< false: what is stated means "unknown", and the file's end is the sound's
  struct Patch {
    size_t at;
    std::string bytes;
  };
  std::vector<Patch> patches = {};  ///< where not known: what the header would say, had its writer known

  [[nodiscard]] bool cut() const { return known && stated_bytes > following_bytes; }
};

/// Of WAV (RIFF, RIFX, RF64, BW64, W64), AIFF, AU and CAF; nullopt: of another format, or the file ends before its
/// samples begin.
std::optional<SoundExtent> read_sound_extent(std::string_view bytes);

/// Whether the file is one of these, and must have an extent.
bool states_extent(std::string_view bytes);

}  // namespace gaze
