// SPDX-License-Identifier: MIT
// Word times in the formats people open next.
#pragma once

#include <gaze/render/sound.hpp>

#include <string>

namespace gaze {

/// {"words": [{"text", "start", "end", "confidence", ...}]}, seconds; valid JSON whatever the texts hold.
std::string words_json(const Hearing& hearing);
/// One cue per word; markup in texts is escaped.
std::string words_vtt(const Hearing& hearing);
std::string words_srt(const Hearing& hearing);
/// Praat's long text format, one interval tier "words", gaps as empty intervals.
std::string words_textgrid(const Hearing& hearing);

}  // namespace gaze
