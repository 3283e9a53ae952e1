// SPDX-License-Identifier: MIT
// The recording that a page plays: one channel, 8 bits by mu-law.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace gaze::cli {

struct SmallWav {
  int64_t sample_rate_hz = 0;
  std::vector<float> samples;  ///< -1..1
};

/// @throws Refusal for any other file
SmallWav small_wav(std::string_view bytes);

}  // namespace gaze::cli
