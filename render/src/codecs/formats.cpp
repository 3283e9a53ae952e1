// SPDX-License-Identifier: MIT
#include <gaze/render/formats.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace gaze {
namespace {

std::optional<WordFile> word_file(std::string_view name) {
  if (name == "vtt") return WordFile::Vtt;
  if (name == "srt") return WordFile::Srt;
  if (name == "textgrid") return WordFile::TextGrid;
  return std::nullopt;
}

/// Calls `take` with what stands between commas, until it is false.
template <typename Take>
bool each_of(std::string_view text, Take take) {
  while (true) {
    const size_t comma = text.find(',');
    if (!take(text.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    text = text.substr(comma + 1);
  }
}

}  // namespace

std::optional<PictureChoice> parse_pictures(const std::string& text) {
  if (text == "all") return PictureChoice{true, true, true, true};
  PictureChoice chosen{false, false, false, false};
  if (text == "none") return chosen;
  const auto choose = [&](std::string_view name) {
    bool* const picture = name == "overlay" ? &chosen.overlay
                          : name == "words" ? &chosen.words
                          : name == "sheet" ? &chosen.sheet
                                            : nullptr;
    return picture != nullptr && !std::exchange(*picture, true);
  };
  if (!each_of(text, choose)) return std::nullopt;
  return chosen;
}

std::optional<std::vector<WordFile>> parse_word_files(const std::string& text) {
  std::vector<WordFile> files;
  const auto add = [&](std::string_view name) {
    const auto file = word_file(name);
    if (!file || std::find(files.begin(), files.end(), *file) != files.end()) return false;
    files.push_back(*file);
    return true;
  };
  if (!each_of(text, add)) return std::nullopt;
  return files;
}

}  // namespace gaze
