// SPDX-License-Identifier: MIT
// A recording small enough to lie within a page.
#pragma once

#include <gaze/ops/transfer.hpp>
#include <gaze/render/sound.hpp>

#include <string>

namespace gaze {

/// A WAV that every browser plays: one channel, at most 16 kHz, mu-law (ITU-T G.711, a byte a sample). At most 520 kB:
/// up to 32 s; up to 65 s at half the rate. Longer recordings give none.
/// @return the file; empty: too long
std::string small_wav(const Recording& recording, const ops::Route& route);

}  // namespace gaze
