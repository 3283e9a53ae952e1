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

/// Which pictures are drawn for a map. Its page, its figures and its numbers are made without any.
struct PictureChoice {
  bool overlay = true;          ///< of the whole answer
  bool words = true;            ///< of each content word
  bool function_words = false;  ///< and of the words between them: articles, punctuation
  bool sheet = false;           ///< all of them on one picture
};

/// "all", "none", or any of overlay,words,sheet, each once; nullopt when not understood.
GAZE_API std::optional<PictureChoice> parse_pictures(const std::string& text);

/// "vtt,srt,textgrid", any of them, each once; nullopt when not understood.
GAZE_API std::optional<std::vector<WordFile>> parse_word_files(const std::string& text);

}  // namespace gaze
