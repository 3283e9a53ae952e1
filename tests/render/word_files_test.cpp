// SPDX-License-Identifier: MIT
#include "sound/word_files.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "../support/test.hpp"
#include "base/utf8.hpp"

namespace {

using gaze::TimedWord;
using gaze::WordTiming;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::string kReplacement = "\xEF\xBF\xBD";

TimedWord word(const std::string& text, double start, double end) {
  TimedWord heard;
  heard.word = {.text = text, .first = 0, .count = 1};
  heard.start_seconds = start;
  heard.end_seconds = end;
  heard.hot_seconds = (start + end) / 2;
  return heard;
}

WordTiming three_words() {
  WordTiming timing;
  timing.start_seconds = 10;
  timing.seconds = 3.5;
  timing.seconds_per_key = 0.02;
  timing.words = {word("stop", 10.25, 10.6), word("\"R&D\" <now>", 10.6, 11.0004), word("caf\xC3\xA9", 12.0196, 12.75)};
  timing.words[0].share_within = 0.875;
  timing.words[0].mass = 0.5;
  timing.words[0].mass_on_padding = 0.25;
  timing.words[1].silence = true;
  timing.words[1].hot_seconds = kNaN;
  timing.words[2].diffuse = true;
  return timing;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

struct Cue {
  int64_t start_ms = 0, end_ms = 0;
  std::string text = {};
};

int64_t clock_ms(const std::string& text, char point) {
  const size_t colon = text.find(':');
  CATCH_REQUIRE(text.size() == colon + 10);
  CATCH_REQUIRE(colon >= 2);
  CATCH_REQUIRE(text[colon + 3] == ':');
  CATCH_REQUIRE(text[colon + 6] == point);
  return ((std::stoll(text.substr(0, colon)) * 60 + std::stoll(text.substr(colon + 1, 2))) * 60 +
          std::stoll(text.substr(colon + 4, 2))) *
             1000 +
         std::stoll(text.substr(colon + 7, 3));
}

// Blocks between empty lines, each with a line of times and one of text.
std::vector<Cue> read_cues(const std::string& file, char point, bool numbered) {
  std::vector<std::string> rows = lines(file);
  if (!numbered) {
    CATCH_REQUIRE(rows.size() >= 1);
    CATCH_REQUIRE(rows[0] == "WEBVTT");
    rows.erase(rows.begin(), rows.begin() + std::min<std::ptrdiff_t>(2, static_cast<std::ptrdiff_t>(rows.size())));
  }
  std::vector<Cue> cues;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (numbered) CATCH_REQUIRE(rows.at(i++) == std::to_string(cues.size() + 1));
    const std::string& times = rows.at(i++);
    const size_t arrow = times.find(" --> ");
    CATCH_REQUIRE(arrow != std::string::npos);
    cues.push_back({clock_ms(times.substr(0, arrow), point), clock_ms(times.substr(arrow + 5), point), rows.at(i++)});
    CATCH_REQUIRE(!cues.back().text.empty());
    CATCH_REQUIRE(cues.back().text.find("-->") == std::string::npos);
    CATCH_REQUIRE(cues.back().end_ms > cues.back().start_ms);
    if (i < rows.size()) CATCH_REQUIRE(rows[i].empty());
  }
  return cues;
}

// "name = value" of every line of Praat's long format that has one, in order; quotes undone.
std::vector<std::pair<std::string, std::string>> read_fields(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const std::string& line : lines(file)) {
    const size_t equals = line.find(" = ");
    if (equals == std::string::npos) continue;
    const size_t name = line.find_first_not_of(' ');
    std::string value = line.substr(equals + 3);
    if (value.front() == '"') {
      CATCH_REQUIRE(value.size() >= 2);
      CATCH_REQUIRE(value.back() == '"');
      std::string plain;
      for (size_t i = 1; i + 1 < value.size(); ++i) {
        if (value[i] == '"') CATCH_REQUIRE(value.at(++i) == '"');
        plain += value[i];
      }
      value = plain;
    }
    fields.emplace_back(line.substr(name, equals - name), value);
  }
  return fields;
}

// The intervals of the tier, which must fill it.
std::vector<Cue> read_textgrid(const std::string& file) {
  const auto fields = read_fields(file);
  const auto ms = [](const std::string& seconds) { return std::llround(std::stod(seconds) * 1000); };
  CATCH_REQUIRE(fields.size() >= 10);
  const int64_t begin = ms(fields[2].second), end = ms(fields[3].second);
  CATCH_REQUIRE(fields[9].first == "intervals: size");
  CATCH_REQUIRE(ms(fields[7].second) == begin);
  CATCH_REQUIRE(ms(fields[8].second) == end);
  const auto count = static_cast<size_t>(std::stoll(fields[9].second));
  CATCH_REQUIRE(fields.size() == 10 + 3 * count);
  CATCH_REQUIRE(count >= 1);
  std::vector<Cue> tiles;
  for (size_t i = 10; i < fields.size(); i += 3) {
    tiles.push_back({ms(fields[i].second), ms(fields[i + 1].second), fields[i + 2].second});
    CATCH_REQUIRE(tiles.back().start_ms == (tiles.size() == 1 ? begin : tiles[tiles.size() - 2].end_ms));
    CATCH_REQUIRE(tiles.back().end_ms > tiles.back().start_ms);
  }
  CATCH_REQUIRE(tiles.back().end_ms == end);
  return tiles;
}

std::string texts(const std::vector<Cue>& cues) {
  std::string out;
  for (const Cue& cue : cues) {
    out += cue.text + "@" + std::to_string(cue.start_ms) + "-" + std::to_string(cue.end_ms) + ";";
  }
  return out;
}

}  // namespace

CATCH_TEST_CASE("word files: three words as JSON") {
  CATCH_CHECK(gaze::words_json(three_words()) == R"({
  "gaze_words": 1,
  "start": 10.0,
  "seconds": 3.5,
  "seconds_per_key": 0.02,
  "words": [
    {
      "text": "stop",
      "start": 10.25,
      "end": 10.6,
      "share_within": 0.875,
      "silence": false,
      "diffuse": false,
      "mass": 0.5,
      "mass_on_padding": 0.25,
      "hot": 10.425
    },
    {
      "text": "\"R&D\" <now>",
      "start": 10.6,
      "end": 11.0,
      "share_within": 0.0,
      "silence": true,
      "diffuse": false,
      "mass": 0.0,
      "mass_on_padding": 0.0,
      "hot": null
    },
    {
      "text": "café",
      "start": 12.02,
      "end": 12.75,
      "share_within": 0.0,
      "silence": false,
      "diffuse": true,
      "mass": 0.0,
      "mass_on_padding": 0.0,
      "hot": 12.385
    }
  ]
}
)");
}

CATCH_TEST_CASE("word files: three words as WebVTT and SRT") {
  CATCH_CHECK(gaze::words_vtt(three_words()) == R"(WEBVTT

00:00:10.250 --> 00:00:10.600
stop

00:00:10.600 --> 00:00:11.000
"R&amp;D" &lt;now&gt;

00:00:12.020 --> 00:00:12.750
café
)");
  CATCH_CHECK(gaze::words_srt(three_words()) == R"(1
00:00:10,250 --> 00:00:10,600
stop

2
00:00:10,600 --> 00:00:11,000
"R&D" <now>

3
00:00:12,020 --> 00:00:12,750
café
)");
}

CATCH_TEST_CASE("word files: three words as a TextGrid") {
  CATCH_CHECK(gaze::words_textgrid(three_words()) == R"(File type = "ooTextFile"
Object class = "TextGrid"

xmin = 10.000
xmax = 13.500
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 10.000
        xmax = 13.500
        intervals: size = 6
        intervals [1]:
            xmin = 10.000
            xmax = 10.250
            text = ""
        intervals [2]:
            xmin = 10.250
            xmax = 10.600
            text = "stop"
        intervals [3]:
            xmin = 10.600
            xmax = 11.000
            text = """R&D"" <now>"
        intervals [4]:
            xmin = 11.000
            xmax = 12.020
            text = ""
        intervals [5]:
            xmin = 12.020
            xmax = 12.750
            text = "café"
        intervals [6]:
            xmin = 12.750
            xmax = 13.500
            text = ""
)");
}

CATCH_TEST_CASE("word files: no words") {
  WordTiming timing;
  timing.seconds = 1;
  CATCH_CHECK(nlohmann::json::parse(gaze::words_json(timing))["words"] == nlohmann::json::array());
  CATCH_CHECK(gaze::words_vtt(timing) == "WEBVTT\n");
  CATCH_CHECK(gaze::words_srt(timing).empty());
  CATCH_CHECK(texts(read_textgrid(gaze::words_textgrid(timing))) == "@0-1000;");
}

CATCH_TEST_CASE("word files: texts of any bytes stay one line of valid UTF-8") {
  WordTiming timing;
  timing.seconds = 9;
  timing.words = {word("a\r\n\nb\tc", 0, 1), word("x --> y\xFF", 1, 2), word(std::string("\0\x1B", 2), 2, 3),
                  word("", 3, 4), word("00:00:01,000 --> 00:00:02,000", 4, 5)};
  timing.words[2].word.first = 6;
  timing.words[3].word.first = 8;
  CATCH_CHECK(texts(read_cues(gaze::words_vtt(timing), '.', false)) ==
              "a   b c@0-1000;x --&gt; y" + kReplacement +
                  "@1000-2000;token 7@2000-3000;token 9@3000-4000;00:00:01,000 --&gt; 00:00:02,000@4000-5000;");
  CATCH_CHECK(texts(read_cues(gaze::words_srt(timing), ',', true)) ==
              "a   b c@0-1000;x -- > y" + kReplacement +
                  "@1000-2000;token 7@2000-3000;token 9@3000-4000;00:00:01,000 -- > 00:00:02,000@4000-5000;");
  CATCH_CHECK(texts(read_textgrid(gaze::words_textgrid(timing))) ==
              "a   b c@0-1000;x --> y" + kReplacement +
                  "@1000-2000;token 7@2000-3000;token 9@3000-4000;00:00:01,000 --> 00:00:02,000@4000-5000;@5000-9000;");
  const auto json = nlohmann::json::parse(gaze::words_json(timing));
  CATCH_CHECK(json["words"][0]["text"] == "a\r\n\nb\tc");
  CATCH_CHECK(json["words"][1]["text"] == "x --> y" + kReplacement);
  CATCH_CHECK(json["words"][3]["text"] == "");
}

CATCH_TEST_CASE("word files: times that are not finite are null, and words without times are left out elsewhere") {
  WordTiming timing;
  timing.seconds = timing.seconds_per_key = std::numeric_limits<double>::infinity();
  timing.words = {word("nowhere", kNaN, kNaN), word("here", 0.5, 1)};
  timing.words[0].share_within = timing.words[0].mass = timing.words[0].mass_on_padding = kNaN;
  const auto json = nlohmann::json::parse(gaze::words_json(timing));
  CATCH_CHECK(json["seconds"].is_null());
  CATCH_CHECK(json["seconds_per_key"].is_null());
  for (const char* name : {"start", "end", "hot", "share_within", "mass", "mass_on_padding"}) {
    CATCH_CHECK(json["words"][0].at(name).is_null());
    CATCH_CHECK(json["words"][1].at(name).is_number());
  }
  CATCH_CHECK(texts(read_cues(gaze::words_vtt(timing), '.', false)) == "here@500-1000;");
  CATCH_CHECK(texts(read_cues(gaze::words_srt(timing), ',', true)) == "here@500-1000;");
  read_textgrid(gaze::words_textgrid(timing));
}

CATCH_TEST_CASE("word files: hours, times before 0, and words without length") {
  WordTiming timing;
  timing.start_seconds = -1;
  timing.seconds = 400000;
  timing.words = {word("early", -0.5, -0.25), word("short", 7, 7), word("late", 359999.9996, 360000.5)};
  const std::string expected = "early@0-1;short@7000-7001;late@360000000-360000500;";
  CATCH_CHECK(texts(read_cues(gaze::words_vtt(timing), '.', false)) == expected);
  CATCH_CHECK(texts(read_cues(gaze::words_srt(timing), ',', true)) == expected);
  CATCH_CHECK(gaze::words_vtt(timing).find("\n100:00:00.000 --> 100:00:00.500\n") != std::string::npos);
  CATCH_CHECK(texts(read_textgrid(gaze::words_textgrid(timing))) ==
              "@-1000--500;early@-500--250;@-250-7000;short@7000-7001;@7001-360000000;late@360000000-360000500;"
              "@360000500-399999000;");
}

CATCH_TEST_CASE("word files: words of overlapping windows come by their starts") {
  WordTiming timing;
  timing.seconds = 4;
  timing.words = {word("one", 0.5, 1), word("late", 2.5, 3), word("early", 2, 2.25), word("last", 3, 3.5)};
  const std::string vtt = gaze::words_vtt(timing), srt = gaze::words_srt(timing);
  CATCH_CHECK(vtt.find("early") < vtt.find("late"));
  CATCH_CHECK(srt.find("2\n00:00:02,000 --> 00:00:02,250\nearly") != std::string::npos);
  CATCH_CHECK(srt.find("3\n00:00:02,500 --> 00:00:03,000\nlate") != std::string::npos);
  CATCH_CHECK(gaze::words_textgrid(timing).find("text = \"early late") == std::string::npos);
  const std::string in_order = gaze::words_json(timing);  // as the model said them
  CATCH_CHECK(in_order.find("late") < in_order.find("early"));
}

CATCH_TEST_CASE("word files: a TextGrid is filled however words overlap or leave the recording") {
  WordTiming timing;
  timing.start_seconds = 1;
  timing.seconds = 2;
  timing.words = {word("a", 0.5, 1.5), word("b", 1.2, 2), word("c", 1.2, 1.7), word("d", 2.9, 4), word("e", 5, 6)};
  CATCH_CHECK(texts(read_textgrid(gaze::words_textgrid(timing))) ==
              "a@1000-1200;b c@1200-2000;@2000-2900;d@2900-2999;e@2999-3000;");
  timing.seconds = 0;
  CATCH_CHECK(texts(read_textgrid(gaze::words_textgrid(timing))) == "a b c d e@1000-1001;");
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> anywhere(-1, 4);
  for (int i = 0; i < 200; ++i) {
    timing.seconds = anywhere(random);
    timing.words.clear();
    for (uint64_t w = random() % 6; w > 0; --w) timing.words.push_back(word("w", anywhere(random), anywhere(random)));
    size_t told = 0;
    for (const Cue& tile : read_textgrid(gaze::words_textgrid(timing))) {
      told += static_cast<size_t>(std::count(tile.text.begin(), tile.text.end(), 'w'));
    }
    CATCH_REQUIRE(told == timing.words.size());
  }
}

CATCH_TEST_CASE("word files: what is not UTF-8 is told from what is") {
  const std::string& r = kReplacement;
  for (const std::string valid : {"", "a", "\xC2\xA0", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                  "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CATCH_CHECK(gaze::one_line(valid) == valid);
  }
  CATCH_CHECK(gaze::one_line("\x80") == r);
  CATCH_CHECK(gaze::one_line("\xC0\xAF") == r + r);          // overlong
  CATCH_CHECK(gaze::one_line("\xE0\x9F\xBF") == r + r + r);  // overlong
  CATCH_CHECK(gaze::one_line("\xED\xA0\x80") == r + r + r);  // a surrogate
  CATCH_CHECK(gaze::one_line("\xF4\x90\x80\x80") == r + r + r + r);
  CATCH_CHECK(gaze::one_line("\xF5") == r);
  CATCH_CHECK(gaze::one_line("a\xE2\x82") == "a" + r);  // cut in the middle of a character
  CATCH_CHECK(gaze::one_line("\xF0\x9F\x98z") == r + "z");
  CATCH_CHECK(gaze::one_line("\xE2\x82\xE2\x82\xAC") == r + "\xE2\x82\xAC");
  CATCH_CHECK(gaze::one_line("a\x7F\xC2\x85"
                             "b\xE2\x80\xA8"
                             "c") == "a  b c");
}
