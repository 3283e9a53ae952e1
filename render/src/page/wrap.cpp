// SPDX-License-Identifier: MIT
#include "page/wrap.hpp"

#include <algorithm>

namespace gaze {
namespace {

int64_t width_of(std::string_view text, const Advance& advance) {
  int64_t width = 0;
  for (const char c : text) width += advance(c);
  return width;
}

std::string cut(std::string_view text, const Advance& advance, int64_t limit) {
  constexpr std::string_view kDots = "...";
  std::string line(text.substr(0, count_fitting(text, advance, limit - width_of(kDots, advance))));
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line.append(kDots);
}

// The word at the front, or its beginning up to the first character that a line of its own has no room for.
std::string_view first_word(std::string_view text, const Advance& advance, int64_t limit) {
  int64_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') return text.substr(0, i);
    width += advance(text[i]);
    if (width > limit) return text.substr(0, i + 1);
  }
  return text;
}

}  // namespace

size_t count_fitting(std::string_view text, const Advance& advance, int64_t limit) {
  int64_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    width += advance(text[i]);
    if (width > limit) return i;
  }
  return text.size();
}

std::vector<std::string> wrap(std::string_view text, const Advance& advance, int64_t limit, size_t most) {
  std::vector<std::string> lines(1);
  int64_t used = 0;  // of the last line
  const auto begin_line = [&] {
    lines.emplace_back();
    used = 0;
  };
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty()) return lines;
    const std::string_view word = first_word(text, advance, limit);
    const int64_t width = width_of(word, advance);
    const int64_t gap = lines.back().empty() ? 0 : advance(' ');
    if (used + gap + width <= limit) {
      if (gap > 0) lines.back() += ' ';
      lines.back() += word;
      used += gap + width;
      text.remove_prefix(word.size());
      continue;
    }
    if (lines.size() == most) {
      if (gap > 0) lines.back() += ' ';
      lines.back() = cut(lines.back().append(word), advance, limit);
      return lines;
    }
    if (gap > 0) {
      begin_line();
      continue;
    }
    const size_t length = std::max<size_t>(1, word.size() - 1);  // all but the one that was too much
    lines.back() = word.substr(0, length);
    text.remove_prefix(length);
    begin_line();
  }
}

}  // namespace gaze
