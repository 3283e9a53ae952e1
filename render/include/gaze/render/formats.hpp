// SPDX-License-Identifier: MIT
// The kinds of files a bundle may hold.
#pragma once

#include <gaze/ops/api.hpp>

#include <optional>
#include <string>
#include <vector>

namespace gaze {

enum class ImageFormat { Png, Jpeg, Webp };

/// Word times of a sound in formats for other programs.
enum class WordFile { Vtt, Srt, TextGrid };

/// "vtt,srt,textgrid", any of them, each once; nullopt when not understood.
GAZE_API std::optional<std::vector<WordFile>> parse_word_files(const std::string& text);

}  // namespace gaze
