// SPDX-License-Identifier: MIT
// Audio files in.
#pragma once

#include <gaze/render/audio_file.hpp>

#include <string>

namespace gaze {

/// @param bytes  of a whole file
/// @param what   begins the error text
/// @throws gaze::Error (DecodeFailed)
Audio decode_audio(const std::string& bytes, const std::string& what);

}  // namespace gaze
