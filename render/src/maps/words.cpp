// SPDX-License-Identifier: MIT
#include <gaze/render/words.hpp>

#include <algorithm>
#include <string_view>

namespace gaze {
namespace {

constexpr std::string_view kBegins[] = {" ", "\xE2\x96\x81", "\xC4\xA0"};  // space, U+2581, U+0120
constexpr std::string_view kContinues = "##";

// Length of the marks at the front of a token.
size_t begin_mark(std::string_view label) {
  size_t length = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view mark : kBegins) {
      if (label.substr(length).starts_with(mark)) {
        length += mark.size();
        found = true;
      }
    }
  }
  return length;
}

bool special(std::string_view label) {
  return label.empty() || (label.size() > 2 && label.front() == '<' && label.back() == '>');
}

}  // namespace

std::vector<Word> merge_words(const std::vector<std::string>& labels) {
  const bool marked_begins =
      std::any_of(labels.begin(), labels.end(), [](const std::string& label) { return begin_mark(label) > 0; });
  // Where words are marked at their beginning, "##" is text (a Markdown heading).
  const auto continues = [&](std::string_view label) {
    return !marked_begins && label.size() > kContinues.size() && label.starts_with(kContinues);
  };
  std::vector<Word> words;
  bool open = false;  // may the next token continue the last word?
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::string_view label = labels[i];
    if (special(label)) {
      open = false;
      continue;
    }
    const size_t mark = begin_mark(label);
    const bool continued = continues(label);
    const bool joins = open && (continued || (marked_begins && mark == 0));
    if (!joins) words.push_back({.text = {}, .first = static_cast<int64_t>(i), .count = 0});
    words.back().text += label.substr(continued ? kContinues.size() : mark);
    ++words.back().count;
    open = true;
  }
  // A lone mark that nothing continued carries no text.
  std::erase_if(words, [](const Word& word) { return word.text.empty(); });
  return words;
}

}  // namespace gaze
