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
};

/// Reads WAV, FLAC, OGG or what libsndfile supports.
/// @throws gaze::Error (DecodeFailed): missing, foreign, empty or truncated file; or a build without libsndfile.
GAZE_API Audio read_audio(const std::string& path);

}  // namespace gaze
