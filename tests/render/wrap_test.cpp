// SPDX-License-Identifier: MIT
// Lines of text: where they break, and that a text costs what its lines hold.
#include "page/wrap.hpp"

#include <algorithm>
#include <random>

#include "../support/test.hpp"
#include "page/label_lanes.hpp"
#include "sound/word_files.hpp"
#include "texts.hpp"

namespace {

using Lines = std::vector<std::string>;

int64_t advance(char c) { return c == 'i' ? 1 : c == ' ' ? 2 : 3; }

int64_t width(const std::string& line) {
  int64_t sum = 0;
  for (const char c : line) sum += advance(c);
  return sum;
}

/// Letter by letter, as slow as it is plain.
std::string plain_cut(std::string line, int64_t limit) {
  while (!line.empty() && width(line + "...") > limit) line.pop_back();
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "...";
}

Lines plain_wrap(const std::string& text, int64_t limit, size_t most) {
  Lines lines(1);
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    const std::string joined = lines.back().empty() ? word : lines.back() + " " + word;
    if (width(joined) <= limit) {
      lines.back() = joined;
      continue;
    }
    if (!lines.back().empty()) {
      if (lines.size() == most) return lines.back() = plain_cut(joined, limit), lines;
      lines.emplace_back();
    }
    while (width(word) > limit) {
      if (lines.size() == most) return lines.back() = plain_cut(word, limit), lines;
      size_t length = 1;
      while (length < word.size() && width(word.substr(0, length + 1)) <= limit) ++length;
      lines.back() = word.substr(0, length);
      word.erase(0, length);
      lines.emplace_back();
    }
    lines.back() = word;
  }
  return lines;
}

}  // namespace

CATCH_TEST_CASE("wrap: lines break as a plain search breaks them") {
  CATCH_CHECK(gaze::wrap("", advance, 9, 2) == Lines{""});
  CATCH_CHECK(gaze::wrap("  aa  bb", advance, 14, 2) == Lines{"aa bb"});
  CATCH_CHECK(gaze::wrap("aa bb cc", advance, 14, 2) == Lines{"aa bb", "cc"});
  CATCH_CHECK(gaze::wrap("aaaaaaa", advance, 12, 2) == Lines{"aaaa", "aaa"});
  CATCH_CHECK(gaze::wrap("aaaaaaaaaa", advance, 12, 2) == Lines{"aaaa", "a..."});
  CATCH_CHECK(gaze::wrap("aaa", advance, 2, 1) == Lines{"..."});
  CATCH_CHECK(gaze::wrap("aaa", advance, -1, 3) == Lines{"a", "a", "..."});
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 40, ' ');
    for (char& c : text) c = "ai a"[random() % 4];
    const auto limit = static_cast<int64_t>(random() % 40);
    const size_t most = 1 + random() % 4;
    CATCH_INFO("'" << text << "' in " << most << " lines of " << limit);
    const Lines found = gaze::wrap(text, advance, limit, most);
    if (found != plain_wrap(text, limit, most)) CATCH_REQUIRE(found == plain_wrap(text, limit, most));
  }
}

CATCH_TEST_CASE("wrap: what stays together is not broken, and lines break where it is said they may") {
  // Two bytes make a capital letter, which lines may begin with; three widths to each.
  const auto step = [](std::string_view rest) {
    return rest.front() >= 'A' && rest.front() <= 'Z' ? gaze::Step{2, 3, true} : gaze::Step{1, 3, false};
  };
  const auto lines = [&](const char* text, int64_t limit, size_t most) {
    return gaze::wrap(text, gaze::Measure{step, 2, 9}, limit, most);
  };
  CATCH_CHECK(lines("A-B-C-D-", 6, 9) == Lines{"A-B-", "C-D-"});
  CATCH_CHECK(lines("A-B-C-D-", 7, 9) == Lines{"A-B-", "C-D-"});
  CATCH_CHECK(lines("ab A-B- C-", 11, 9) == Lines{"ab A-", "B- C-"});
  CATCH_CHECK(lines("A-bc", 6, 9) == Lines{"A-b", "c"});
  CATCH_CHECK(lines("A-B-C-D-E-", 12, 1) == Lines{"A-..."});
  CATCH_CHECK(lines("A-B-", 2, 9) == Lines{"A-", "B-", ""});
  CATCH_CHECK(lines("A-B-C-", 8, 1) == Lines{"..."});
}

CATCH_TEST_CASE("labels: one is not cut within a character") {
  const auto measure = [](const std::string& text) { return 8 * static_cast<int>(text.size()); };
  const auto shortened = [&](const char* text, int right) {
    return gaze::place_labels({{0, text}}, {3, 0, right, 12}, measure)[0].text;
  };
  CATCH_CHECK(shortened("\xD0\x96\xD0\x96", 31) == "\xD0\x96.");
  CATCH_CHECK(shortened("\xE4\xB8\xAD\xE6\x96\x87", 47) == "\xE4\xB8\xAD.");
  CATCH_CHECK(shortened("\xE4\xB8\xAD\xE6\x96\x87", 32) == "\xE4\xB8\xAD.");
  CATCH_CHECK(shortened("\xE4\xB8\xAD\xE6\x96\x87", 31).empty());
}

CATCH_TEST_CASE("wrap: a text of any length costs what its lines hold, and looks as its beginning") {
  constexpr int64_t kLimit = 900;
  constexpr size_t kMost = 4;
  const auto measured = [&](const std::string& text, Lines& lines) {
    int64_t letters = 0;
    lines = gaze::wrap(
        text, [&](char c) { return ++letters, advance(c); }, kLimit, kMost);
    return letters;
  };
  const auto long_texts = gaze::test::hard_texts(10 << 20), short_texts = gaze::test::hard_texts(20 << 10);
  for (size_t i = 0; i < long_texts.size(); ++i) {
    CATCH_INFO(long_texts[i].first);
    Lines long_lines, short_lines;
    const int64_t letters = measured(long_texts[i].second, long_lines);
    CATCH_CHECK(letters <= 4 * static_cast<int64_t>(kMost) * (kLimit + 3));
    CATCH_CHECK(letters == measured(short_texts[i].second, short_lines));
    CATCH_CHECK(long_lines == short_lines);
    CATCH_CHECK(long_lines.back().ends_with("..."));
    for (const std::string& line : long_lines) CATCH_CHECK(width(line) <= kLimit);
  }
}

CATCH_TEST_CASE(
    "labels: one is shortened in steps of its length's logarithm, and many at one place cost no more each") {
  constexpr int kWords = 2000;
  std::vector<gaze::LaneWish> wishes;
  const std::string word(500, 'a');
  for (int i = 0; i < kWords; ++i) wishes.push_back({50 + i / 100, word});
  int64_t calls = 0;
  const auto measure = [&](const std::string& text) { return ++calls, 8 * static_cast<int>(text.size()); };
  const auto labels = gaze::place_labels(wishes, {3, 0, 1500, 12}, measure);
  CATCH_CHECK(calls <= kWords * 2 * (2 + 10));
  CATCH_CHECK(labels.size() == wishes.size());
  // The longest beginning that fits.
  const auto alone = gaze::place_labels({wishes[0]}, {3, 0, 1500, 12}, measure);
  CATCH_CHECK(alone[0].text == std::string(186, 'a') + ".");
  CATCH_CHECK(gaze::place_labels({{0, "abc"}}, {3, 0, 24, 12}, measure)[0].text == "abc");
  CATCH_CHECK(gaze::place_labels({{0, "abcd"}}, {3, 0, 24, 12}, measure)[0].text == "ab.");
  CATCH_CHECK(gaze::place_labels({{0, "abc"}}, {3, 0, 16, 12}, measure)[0].text.empty());
}

CATCH_TEST_CASE("word files: a word of any length is written once over") {
  for (const auto& [name, text] : gaze::test::hard_texts(4 << 20)) {
    CATCH_INFO(name);
    gaze::WordTiming timing;
    timing.seconds = 2;
    gaze::TimedWord word;
    word.word = {.text = text, .first = 0, .count = 1};
    word.start_seconds = 0.5;
    word.end_seconds = 1;
    timing.words = {word};
    // As many bytes as the longest way to say each.
    CATCH_CHECK(gaze::words_vtt(timing).size() <= 5 * text.size() + 200);
    CATCH_CHECK(gaze::words_srt(timing).size() <= 5 * text.size() + 200);
    CATCH_CHECK(gaze::words_textgrid(timing).size() <= 5 * text.size() + 1000);
    CATCH_CHECK(gaze::words_json(timing).size() <= 6 * text.size() + 1000);
  }
}
