// SPDX-License-Identifier: MIT
// MP3 through libmpg123 itself: libsndfile leaves it to print what it finds odd in a file to the host's standard error.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace gaze {

/// Whether a frame of MPEG audio stands at the front, or behind an ID3 tag.
bool is_mp3(std::string_view bytes);

struct Mp3 {
  at::Tensor samples_ct;  ///< float32 [channels, samples], -1..1
  int64_t sample_rate_hz = 0;
  std::string problem = {};  ///< what was expected and got; empty: it was read
};

/// To the file's end; what an encoder added before and after the sound is taken off, where it says how much that is.
Mp3 read_mp3(std::string_view bytes);

}  // namespace gaze
