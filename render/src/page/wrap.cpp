// SPDX-License-Identifier: MIT
#include "page/wrap.hpp"

#include <algorithm>

namespace gaze {
namespace {

// A word, or a line, by its steps.
struct Piece {
  std::string_view text;  // a word's
  std::vector<Step> steps;
  int64_t width = 0;

  void add(const Step& step) {
    steps.push_back(step);
    width += step.width;
  }
  Step drop() {
    const Step last = steps.back();
    steps.pop_back();
    width -= last.width;
    return last;
  }
};

// The word at the front, or its beginning up to the first character that a line of its own has no room for.
Piece first_word(std::string_view text, const Measure& measure, int64_t limit) {
  Piece word;
  size_t bytes = 0;
  while (bytes < text.size() && text[bytes] != ' ' && (bytes == 0 || word.width <= limit)) {
    const Step step = measure.step(text.substr(bytes));
    if (bytes > 0 && step.breaks_before) break;
    word.add(step);
    bytes += step.bytes;
  }
  word.text = text.substr(0, bytes);
  return word;
}

// With dots behind as much of it as leaves room for them.
void cut(std::string& line, Piece& steps, const Measure& measure, int64_t limit) {
  while (!steps.steps.empty() && steps.width + measure.dots > limit) line.resize(line.size() - steps.drop().bytes);
  while (!line.empty() && line.back() == ' ') line.pop_back();
  line += "...";
}

}  // namespace

std::vector<std::string> wrap(std::string_view text, const Measure& measure, int64_t limit, size_t most) {
  std::vector<std::string> lines(1);
  Piece last;  // of the last line
  const auto begin_line = [&] {
    lines.emplace_back();
    last = {};
  };
  const auto append = [&](const Piece& word, bool spaced) {
    if (spaced) {
      lines.back() += ' ';
      last.add({1, measure.blank, false});
    }
    lines.back() += word.text;
    for (const Step& step : word.steps) last.add(step);
  };
  while (true) {
    const size_t blanks = std::min(text.find_first_not_of(' '), text.size());
    text.remove_prefix(blanks);
    if (text.empty()) return lines;
    Piece word = first_word(text, measure, limit);
    const bool begun = !lines.back().empty(), spaced = begun && blanks > 0;
    if (last.width + (spaced ? measure.blank : 0) + word.width <= limit) {
      append(word, spaced);
      text.remove_prefix(word.text.size());
      continue;
    }
    if (lines.size() == most) {
      append(word, spaced);
      cut(lines.back(), last, measure, limit);
      return lines;
    }
    if (begun) {
      begin_line();
      continue;
    }
    size_t length = word.text.size();
    if (word.steps.size() > 1) length -= word.drop().bytes;  // the one that was too much
    lines.back() = word.text.substr(0, length);
    text.remove_prefix(length);
    begin_line();
  }
}

std::vector<std::string> wrap(std::string_view text, const Advance& advance, int64_t limit, size_t most) {
  const auto step = [&](std::string_view rest) { return Step{1, advance(rest.front()), false}; };
  return wrap(text, Measure{step, advance(' '), 3 * advance('.')}, limit, most);
}

}  // namespace gaze
