// SPDX-License-Identifier: MIT
// What is said about a recording and its words, in short lines for people.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sound/word_timing.hpp"

namespace gaze {

/// Times, share_within, attention on the recording, on padding, peak.
std::array<std::string, 5> word_figures(const TimedWord& word);

/// What a reader must not miss; mostly nothing.
std::vector<std::string> word_warnings(const TimedWord& word);

/// "6.00 s, 16 kHz, stereo".
std::string describe_recording(const SoundAnalysis& heard);

}  // namespace gaze
