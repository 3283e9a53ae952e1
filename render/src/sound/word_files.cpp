// SPDX-License-Identifier: MIT
#include "sound/word_files.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/json_text.hpp"
#include "base/utf8.hpp"

namespace gaze {
namespace {

using Milliseconds = int64_t;

JsonText rounded(double seconds) { return JsonText(std::round(seconds * 1000) / 1000); }

Milliseconds milliseconds(double seconds) {
  constexpr double kMost = 1e9;  // seconds; some 30 years
  return std::isfinite(seconds) ? std::llround(std::clamp(seconds, -kMost, kMost) * 1000) : 0;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  std::string out;
  size_t done = 0;
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; done = at += from.size()) {
    out.append(text, done, at - done).append(to);
  }
  return out.append(text, done);
}

struct Interval {
  Milliseconds start = 0, end = 0;
  std::string text;
};

// The words that have times, each at least a millisecond long, by their starts: those of windows that overlap are not
// in order, which cues and intervals must be.
std::vector<Interval> intervals(const WordTiming& timing) {
  std::vector<Interval> list;
  for (const TimedWord& heard : timing.words) {
    if (!std::isfinite(heard.start_seconds) || !std::isfinite(heard.end_seconds)) continue;
    std::string text = one_line(heard.word.text);
    if (text.find_first_not_of(' ') == std::string::npos) text = "token " + std::to_string(heard.word.first + 1);
    const Milliseconds start = milliseconds(heard.start_seconds);
    list.push_back({start, std::max(start + 1, milliseconds(heard.end_seconds)), std::move(text)});
  }
  std::stable_sort(list.begin(), list.end(), [](const Interval& a, const Interval& b) { return a.start < b.start; });
  return list;
}

// Without printf's floating formats, which follow the host's locale.
std::string clock(Milliseconds time, char point) {
  char out[40];
  const auto value = static_cast<long long>(time);
  std::snprintf(out, sizeof out, "%02lld:%02lld:%02lld%c%03lld", value / 3600000, value / 60000 % 60, value / 1000 % 60,
                point, value % 1000);
  return out;
}

std::string decimal(Milliseconds time) {
  char out[40];
  const auto value = static_cast<long long>(std::abs(time));
  std::snprintf(out, sizeof out, "%s%lld.%03lld", time < 0 ? "-" : "", value / 1000, value % 1000);
  return out;
}

// From `begin` to `end` without gap or overlap.
std::vector<Interval> tiled(const std::vector<Interval>& words, Milliseconds begin, Milliseconds end) {
  std::vector<Interval> tiles;
  Milliseconds taken = begin;
  for (const Interval& word : words) {
    const Milliseconds start = std::clamp(word.start, tiles.empty() ? begin : tiles.back().start, end - 1);
    const Milliseconds stop = std::clamp(word.end, start + 1, end);
    if (start > taken) tiles.push_back({taken, start, ""});
    if (!tiles.empty() && tiles.back().start == start) {
      tiles.back().text += " " + word.text;
      tiles.back().end = std::max(tiles.back().end, stop);
    } else {
      if (!tiles.empty()) tiles.back().end = start;
      tiles.push_back({start, stop, word.text});
    }
    taken = tiles.back().end;
  }
  if (taken < end) tiles.push_back({taken, end, ""});
  return tiles;
}

}  // namespace

std::string words_json(const WordTiming& timing) {
  JsonText words = JsonText::array();
  for (const TimedWord& heard : timing.words) {
    words.push_back({{"text", heard.word.text},
                     {"start", rounded(heard.start_seconds)},
                     {"end", rounded(heard.end_seconds)},
                     {"share_within", JsonText(heard.share_within)},
                     {"silence", heard.silence},
                     {"diffuse", heard.diffuse},
                     {"mass", JsonText(heard.mass)},
                     {"mass_on_padding", JsonText(heard.mass_on_padding)},
                     {"hot", rounded(heard.hot_seconds)}});
  }
  const JsonText root = {{"gaze_words", 1},
                         {"start", JsonText(timing.start_seconds)},
                         {"seconds", JsonText(timing.seconds)},
                         {"seconds_per_key", JsonText(timing.seconds_per_key)},
                         {"words", std::move(words)}};
  return root.dump(2) + "\n";
}

std::string words_vtt(const WordTiming& timing) {
  std::string out = "WEBVTT\n";
  for (const Interval& word : intervals(timing)) {
    const Milliseconds start = std::max<Milliseconds>(0, word.start), end = std::max(start + 1, word.end);
    std::string text = replaced(word.text, "&", "&amp;");
    text = replaced(replaced(text, "<", "&lt;"), ">", "&gt;");
    out += "\n" + clock(start, '.') + " --> " + clock(end, '.') + "\n" + text + "\n";
  }
  return out;
}

std::string words_srt(const WordTiming& timing) {
  std::string out;
  size_t index = 0;
  for (const Interval& word : intervals(timing)) {
    const Milliseconds start = std::max<Milliseconds>(0, word.start), end = std::max(start + 1, word.end);
    if (index > 0) out += "\n";
    out += std::to_string(++index) + "\n" + clock(start, ',') + " --> " + clock(end, ',') + "\n" +
           replaced(word.text, "-->", "-- >") + "\n";
  }
  return out;
}

std::string words_textgrid(const WordTiming& timing) {
  const Milliseconds begin = milliseconds(timing.start_seconds);
  const Milliseconds end = std::max(begin + 1, milliseconds(timing.start_seconds + timing.seconds));
  const std::vector<Interval> tiles = tiled(intervals(timing), begin, end);
  const auto bounds = [](const std::string& indent, Milliseconds from, Milliseconds to) {
    return indent + "xmin = " + decimal(from) + "\n" + indent + "xmax = " + decimal(to) + "\n";
  };
  std::string out = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n" + bounds("", begin, end) +
                    "tiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n        class = \"IntervalTier\"\n"
                    "        name = \"words\"\n" +
                    bounds("        ", begin, end) + "        intervals: size = " + std::to_string(tiles.size()) + "\n";
  for (size_t i = 0; i < tiles.size(); ++i) {
    out += "        intervals [" + std::to_string(i + 1) + "]:\n" +
           bounds("            ", tiles[i].start, tiles[i].end) + "            text = \"" +
           replaced(tiles[i].text, "\"", "\"\"") + "\"\n";
  }
  return out;
}

}  // namespace gaze
