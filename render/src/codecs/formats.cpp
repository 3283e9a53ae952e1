// SPDX-License-Identifier: MIT
#include <gaze/render/formats.hpp>

#include <algorithm>
#include <string_view>

namespace gaze {
namespace {

std::optional<WordFile> word_file(std::string_view name) {
  if (name == "vtt") return WordFile::Vtt;
  if (name == "srt") return WordFile::Srt;
  if (name == "textgrid") return WordFile::TextGrid;
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<WordFile>> parse_word_files(const std::string& text) {
  std::vector<WordFile> files;
  for (std::string_view rest = text;;) {
    const size_t comma = rest.find(',');
    const auto file = word_file(rest.substr(0, comma));
    if (!file || std::find(files.begin(), files.end(), *file) != files.end()) return std::nullopt;
    files.push_back(*file);
    if (comma == std::string_view::npos) return files;
    rest = rest.substr(comma + 1);
  }
}

}  // namespace gaze
