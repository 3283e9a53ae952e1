// SPDX-License-Identifier: MIT
// Word times in the formats people open next.
#pragma once

#include <gaze/render/sound.hpp>

#include <string>

namespace gaze {

/// {"gaze_words": 1, "start", "seconds", "seconds_per_key", "words": [{"text", "start", "end", "share_within",
/// "silence", "diffuse", "mass", "mass_on_padding", "hot"}]}: seconds, words' times to the millisecond; what is not
/// finite is null. Valid JSON whatever the texts hold.
std::string words_json(const WordTiming& timing);

// The others hold words whose times are finite, to the millisecond. Texts are one line of UTF-8: bytes that are none
// become U+FFFD, line breaks and control characters spaces; a word without text is "token N".

/// One cue per word, at least a millisecond long, none before 0; markup in texts is escaped.
std::string words_vtt(const WordTiming& timing);
/// Likewise. The format has no escapes: "-->" in a text becomes "-- >", markup stays.
std::string words_srt(const WordTiming& timing);
/// Praat's long text format: one interval tier "words" from the recording's start to its end, pauses as intervals
/// without text. A word that overlaps the next one ends where that begins; words that begin together share an interval.
std::string words_textgrid(const WordTiming& timing);

}  // namespace gaze
