// SPDX-License-Identifier: MIT
// The library that uses libsndfile.
#pragma once

#include <gaze/ops/part.hpp>

#include "sound/audio_codec.hpp"

namespace gaze {

/// What libgaze_sndfile.so gives to the core.
struct SndfilePart : ops::PartTag {
  static constexpr const char *kFile = "libgaze_sndfile.so", *kSymbol = "gaze_sndfile_table";
  decltype(&gaze::decode_audio) decode_audio;
};

}  // namespace gaze
