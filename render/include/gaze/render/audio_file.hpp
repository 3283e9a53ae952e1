// SPDX-License-Identifier: MIT
// Audio files as tensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/status.hpp>

#include <string>

namespace gaze {

struct Audio {
  at::Tensor samples_ct;  ///< float32 [channels, samples], -1..1
  int64_t sample_rate_hz = 0;
  std::string note = {};  ///< "its header states no length: read to its end", or empty
};

/// Reads WAV, FLAC, OGG or what libsndfile supports, to the file's end where its header states no length, as what was
/// written to a pipe. Takes the file, at most 1 GiB, and 4 bytes a sample, at most 2^29 samples of all channels; twice
/// that while the length is not known.
/// @throws gaze::Error (DecodeFailed): missing, foreign, empty or truncated file, or one with more samples; or a build
/// without libsndfile.
GAZE_API Audio read_audio(const std::string& path);

}  // namespace gaze
