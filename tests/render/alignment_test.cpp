// SPDX-License-Identifier: MIT
#include "sound/alignment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "../support/test.hpp"

namespace {

using gaze::KeyRun;
using gaze::Word;
using gaze::WordSpan;

constexpr double kKeySeconds = 0.02;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Word> single_tokens(int64_t count) {
  std::vector<Word> words;
  for (int64_t t = 0; t < count; ++t) words.push_back({.text = "w", .first = t, .count = 1});
  return words;
}

// A map of plateaus over a background.
struct Map {
  int64_t keys = 0;
  std::vector<float> values = {};

  [[nodiscard]] int64_t tokens() const { return static_cast<int64_t>(values.size()) / keys; }
  void add_row(int64_t first, int64_t end, float height = 1.F, float background = 0.01F) {
    for (int64_t k = 0; k < keys; ++k) values.push_back(k >= first && k < end ? height : background);
  }
  float& at(int64_t token, int64_t key) { return values[static_cast<size_t>(token * keys + key)]; }
  [[nodiscard]] std::vector<WordSpan> align(const std::vector<Word>& words) const {
    return gaze::align_words(values.data(), tokens(), keys, words);
  }
};

std::vector<int64_t> bounds(const std::vector<WordSpan>& spans) {
  std::vector<int64_t> out;
  for (const WordSpan& span : spans) out.insert(out.end(), {span.first, span.end});
  return out;
}

// What holds for every answer.
void check_spans(const std::vector<WordSpan>& spans, size_t words, int64_t keys) {
  CATCH_REQUIRE(spans.size() == words);
  for (size_t i = 0; i < spans.size(); ++i) {
    CATCH_REQUIRE(spans[i].first >= 0);
    CATCH_REQUIRE(spans[i].end > spans[i].first);
    CATCH_REQUIRE(spans[i].end <= std::max<int64_t>(keys, 1));
    CATCH_REQUIRE(spans[i].share_within >= 0);
    CATCH_REQUIRE(spans[i].share_within <= 1 + 1e-9);
    if (i == 0) continue;
    CATCH_REQUIRE(spans[i].first >= spans[i - 1].first);
    if (static_cast<int64_t>(words) <= keys) CATCH_REQUIRE(spans[i].first >= spans[i - 1].end);
  }
}

double cost_of(const std::vector<KeyRun>& runs, const std::vector<float>& score_tk, int64_t keys) {
  double sum = 0;
  for (size_t t = 0; t < runs.size(); ++t) {
    for (int64_t k = runs[t].first; k <= runs[t].last; ++k) {
      sum -= score_tk[t * static_cast<size_t>(keys) + static_cast<size_t>(k)];
    }
  }
  return sum;
}

// The textbook's full matrix.
double naive_cost(const std::vector<float>& score_tk, int64_t tokens, int64_t keys) {
  const auto rows = static_cast<size_t>(tokens), columns = static_cast<size_t>(keys);
  const double never = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> sum(rows + 1, std::vector<double>(columns + 1, never));
  sum[0][0] = 0;
  for (size_t t = 1; t <= rows; ++t) {
    for (size_t k = 1; k <= columns; ++k) {
      sum[t][k] = -static_cast<double>(score_tk[(t - 1) * columns + k - 1]) +
                  std::min({sum[t - 1][k - 1], sum[t - 1][k], sum[t][k - 1]});
    }
  }
  return sum[rows][columns];
}

// An answer spoken at known times, and where a made-up model attended: over each word a plateau that swells and falls
// in a way of its own, a sink, and noise over all keys.
struct Spoken {
  std::vector<double> starts = {}, ends = {};
  Map map = {};
};

class Speaker {
 public:
  explicit Speaker(uint64_t seed) : random_(seed) {}

  Spoken speak() {
    Spoken spoken;
    const int words = 3 + static_cast<int>(uniform(0, 5.999));
    double now = uniform(0.04, 0.8);
    for (int i = 0; i < words; ++i) {
      spoken.starts.push_back(now);
      now += uniform(0.25, 0.6);
      spoken.ends.push_back(now);
      now += uniform(0.04, 0.8);
    }
    spoken.map.keys = static_cast<int64_t>(std::ceil(now / kKeySeconds));
    for (size_t i = 0; i < spoken.starts.size(); ++i) add_row(spoken.map, spoken.starts[i], spoken.ends[i]);
    if (uniform(0, 1) < 0.5) add_row(spoken.map, spoken.ends.back(), now);  // the end of the answer
    return spoken;
  }

 private:
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }

  // Key k is centred at k x kKeySeconds.
  void add_row(Map& map, double start, double end) {
    const double swell = uniform(-0.6, 0.6), tilt = uniform(-0.6, 0.6), turns = uniform(2, 8);
    std::vector<double> row_k(static_cast<size_t>(map.keys));
    double sum = 0;
    for (size_t k = 0; k < row_k.size(); ++k) {
      const double middle = static_cast<double>(k) * kKeySeconds;
      const double covered = std::min(end, middle + kKeySeconds / 2) - std::max(start, middle - kKeySeconds / 2);
      const double place = (middle - start) / (end - start);
      row_k[k] = std::max(0.0, covered) * (1.2 + swell * std::sin(turns * place) + tilt * (place - 0.5));
      sum += row_k[k];
    }
    const double background = uniform(0.1, 0.3), sink = uniform(0, 0.3);
    std::normal_distribution<double> noise(0, 0.3);
    for (size_t k = 0; k < row_k.size(); ++k) {
      double value = (1 - background - sink) * row_k[k] / sum + background / static_cast<double>(map.keys);
      value *= std::exp(noise(random_));
      if (k == 1) value += sink;
      map.values.push_back(static_cast<float>(value));
    }
  }

  std::mt19937_64 random_;
};

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace

CATCH_TEST_CASE("alignment: words of 200 made-up answers begin and end where they were said") {
  Speaker speaker(11);
  std::vector<double> start_errors, end_errors;
  for (int i = 0; i < 200; ++i) {
    const Spoken spoken = speaker.speak();
    const auto words = static_cast<int64_t>(spoken.starts.size());
    const std::vector<WordSpan> spans = spoken.map.align(single_tokens(words));
    check_spans(spans, spoken.starts.size(), spoken.map.keys);
    for (size_t w = 0; w < spans.size(); ++w) {
      start_errors.push_back(std::abs((static_cast<double>(spans[w].first) - 0.5) * kKeySeconds - spoken.starts[w]));
      end_errors.push_back(std::abs((static_cast<double>(spans[w].end) - 0.5) * kKeySeconds - spoken.ends[w]));
    }
  }
  CATCH_CHECK(quantile(start_errors, 0.5) <= 0.04);
  CATCH_CHECK(quantile(start_errors, 0.9) <= 0.12);
  CATCH_CHECK(quantile(end_errors, 0.5) <= 0.04);
  CATCH_CHECK(quantile(end_errors, 0.9) <= 0.12);
}

CATCH_TEST_CASE("alignment: the path is as cheap as that of a full matrix, and connected") {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  for (const auto& [tokens, keys] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {1, 9}, {9, 1}, {2, 2}, {3, 50}, {17, 17}, {31, 7}, {12, 401}}) {
    for (int i = 0; i < 20; ++i) {
      std::vector<float> score_tk(static_cast<size_t>(tokens * keys));
      for (float& score : score_tk) score = i == 0 ? 0.F : normal(random);
      const std::vector<KeyRun> runs = gaze::warp(score_tk, tokens, keys);
      CATCH_REQUIRE(runs.size() == static_cast<size_t>(tokens));
      CATCH_REQUIRE(runs.front().first == 0);
      CATCH_REQUIRE(runs.back().last == keys - 1);
      for (size_t t = 0; t < runs.size(); ++t) {
        CATCH_REQUIRE(runs[t].last >= runs[t].first);
        if (t > 0) CATCH_REQUIRE((runs[t].first == runs[t - 1].last || runs[t].first == runs[t - 1].last + 1));
      }
      CATCH_REQUIRE(cost_of(runs, score_tk, keys) == Approx(naive_cost(score_tk, tokens, keys)).margin(1e-9));
    }
  }
  // Ties: both, then the next key.
  const std::vector<KeyRun> tied = gaze::warp(std::vector<float>(15, 0.F), 3, 5);
  CATCH_CHECK(tied[0].last == 2);
  CATCH_CHECK(tied[1].first == 3);
  CATCH_CHECK(tied[2].first == 4);
  CATCH_CHECK(gaze::warp({}, 0, 5).empty());
  CATCH_CHECK(gaze::warp({}, 5, 0).empty());
}

CATCH_TEST_CASE("alignment: pauses belong to no word") {
  Map map{.keys = 120};
  map.add_row(30, 45);
  map.add_row(80, 95);
  CATCH_CHECK(bounds(map.align(single_tokens(2))) == std::vector<int64_t>{30, 45, 80, 95});
  CATCH_CHECK(map.align(single_tokens(2))[0].share_within == Approx(1));
}

CATCH_TEST_CASE("alignment: an answer of one token has its row alone") {
  Map map{.keys = 100};
  map.add_row(30, 45);
  CATCH_CHECK(bounds(map.align(single_tokens(1))) == std::vector<int64_t>{30, 45});
  // One that is said nearly throughout.
  map = {.keys = 60};
  map.add_row(10, 44);
  CATCH_CHECK(bounds(map.align(single_tokens(1))) == std::vector<int64_t>{10, 44});
}

CATCH_TEST_CASE("alignment: a word of several tokens spans them all, the end of the answer takes what follows") {
  Map map{.keys = 150};
  map.add_row(20, 35);
  map.add_row(60, 70);
  map.add_row(72, 90);
  map.add_row(110, 150);  // <eos>
  const std::vector<Word> words = {{.text = "go", .first = 0, .count = 1}, {.text = "today", .first = 1, .count = 2}};
  CATCH_CHECK(bounds(map.align(words)) == std::vector<int64_t>{20, 35, 60, 90});
  // Tokens before the first word, as those that choose a language.
  const std::vector<Word> late = {{.text = "day", .first = 2, .count = 1}};
  CATCH_CHECK(bounds(map.align(late)) == std::vector<int64_t>{72, 90});
}

CATCH_TEST_CASE("alignment: what every token attends to is no word") {
  Map map{.keys = 140};
  map.add_row(20, 35);
  map.add_row(60, 80);
  map.add_row(90, 105);
  const auto expected = std::vector<int64_t>{20, 35, 60, 80, 90, 105};
  for (int64_t t = 0; t < 3; ++t) {
    map.at(t, 0) = 30;                                        // a sink of one key
    for (int64_t k = 120; k < 132; ++k) map.at(t, k) = 1.5F;  // and a wide one
  }
  const std::vector<WordSpan> spans = map.align(single_tokens(3));
  CATCH_CHECK(bounds(spans) == expected);
  for (const WordSpan& span : spans) CATCH_CHECK(span.share_within == Approx(1));
}

CATCH_TEST_CASE("alignment: a blip in a pause does not draw a word out") {
  Map map{.keys = 140};
  map.add_row(50, 65);
  map.add_row(110, 125);
  for (int64_t k = 20; k < 26; ++k) map.at(0, k) = 0.3F;  // wider than what the filter takes off
  CATCH_CHECK(bounds(map.align(single_tokens(2))) == std::vector<int64_t>{50, 65, 110, 125});
  // A short gap within a word does not cut it.
  for (int64_t k = 55; k < 60; ++k) map.at(0, k) = 0.01F;
  CATCH_CHECK(bounds(map.align(single_tokens(2))) == std::vector<int64_t>{50, 65, 110, 125});
}

CATCH_TEST_CASE("alignment: single keys count for nothing, at the recording's ends as well") {
  Map map{.keys = 90};
  map.add_row(20, 35);
  map.add_row(50, 65);
  map.at(0, 0) = 40;
  map.at(1, 89) = 40;
  CATCH_CHECK(bounds(map.align(single_tokens(2))) == std::vector<int64_t>{20, 35, 50, 65});
  for (int64_t k = 0; k < 12; ++k) map.at(0, k) = k % 4 == 3 ? kNaN : kInfinity;  // wider than the filter
  map.at(1, 57) = -kInfinity;
  map.at(1, 89) = kNaN;
  const std::vector<WordSpan> spans = map.align(single_tokens(2));
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{20, 35, 50, 65});
  CATCH_CHECK(spans[0].share_within == Approx(1));
  CATCH_CHECK(spans[1].share_within == Approx(1));
}

CATCH_TEST_CASE("alignment: words that attend to one key each have it, beside words that attend to many") {
  Map map{.keys = 200};
  for (const int64_t key : {20, 61, 150, 199}) map.add_row(key, key + 1);
  const std::vector<WordSpan> spans = map.align(single_tokens(4));
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{20, 21, 61, 62, 150, 151, 199, 200});
  for (const WordSpan& span : spans) CATCH_CHECK(span.share_within == Approx(1));
  Map mixed{.keys = 200};
  mixed.add_row(30, 45);
  mixed.add_row(80, 82);
  mixed.add_row(120, 140);
  CATCH_CHECK(bounds(mixed.align(single_tokens(3))) == std::vector<int64_t>{30, 45, 80, 82, 120, 140});
}

CATCH_TEST_CASE("alignment: share_within is the share of a word's own attention within its keys") {
  Map map{.keys = 100};
  map.add_row(20, 40, 1.F, 0.F);
  map.add_row(60, 80, 1.F, 0.F);
  // Single keys, which the filter takes off: 5 of 25 of what the first word has lie elsewhere.
  for (const int64_t k : {3, 13, 48, 90, 96}) map.at(0, k) = 1;
  const std::vector<WordSpan> spans = map.align(single_tokens(2));
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{20, 40, 60, 80});
  CATCH_CHECK(spans[0].share_within == Approx(0.8));
  CATCH_CHECK(spans[1].share_within == Approx(1));
}

CATCH_TEST_CASE("alignment: maps that say nothing, or too little, give defined spans") {
  CATCH_CHECK(gaze::align_words(nullptr, 0, 0, {}).empty());
  CATCH_CHECK(bounds(gaze::align_words(nullptr, 0, 0, single_tokens(2))) == std::vector<int64_t>{0, 1, 0, 1});
  Map map{.keys = 10};
  map.add_row(0, 10);
  CATCH_CHECK(map.align({}).empty());
  for (const float value : {0.F, 0.1F, kNaN, kInfinity, -1.F}) {
    for (const int64_t keys : {1, 2, 3, 4, 40}) {
      for (const int64_t tokens : {1, 2, 3, 60}) {
        const Map flat{.keys = keys, .values = std::vector<float>(static_cast<size_t>(tokens * keys), value)};
        const std::vector<WordSpan> spans = flat.align(single_tokens(tokens));
        check_spans(spans, static_cast<size_t>(tokens), keys);
        for (const WordSpan& span : spans) CATCH_CHECK(span.share_within == 0);
      }
    }
  }
}

CATCH_TEST_CASE("alignment: spans are in order whatever the map holds") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    const auto tokens = static_cast<int64_t>(1 + random() % 12), keys = static_cast<int64_t>(1 + random() % 25);
    Map map{.keys = keys, .values = std::vector<float>(static_cast<size_t>(tokens * keys))};
    std::exponential_distribution<float> weight(1);
    for (float& value : map.values) value = random() % 50 == 0 ? kNaN : random() % 50 == 1 ? 1e30F : weight(random);
    std::vector<Word> words;
    for (int64_t t = static_cast<int64_t>(random() % 2); t < tokens;) {
      const int64_t count = std::min<int64_t>(tokens - t, 1 + static_cast<int64_t>(random() % 3));
      words.push_back({.text = "w", .first = t, .count = count});
      t += count + static_cast<int64_t>(random() % 2);
    }
    check_spans(map.align(words), words.size(), keys);
  }
}

CATCH_TEST_CASE("alignment: a long answer to a long recording") {
  Map map{.keys = 4003};
  std::vector<int64_t> expected;
  for (int64_t t = 0; t < 300; ++t) {
    map.add_row(5 + 13 * t, 5 + 13 * t + 9, 1.F, 1e-4F);
    expected.insert(expected.end(), {5 + 13 * t, 5 + 13 * t + 9});
  }
  CATCH_CHECK(bounds(map.align(single_tokens(300))) == expected);
}

CATCH_TEST_CASE("silence: digital silence, and a steady floor between words") {
  std::vector<float> level_k(100, 0.F);
  std::fill(level_k.begin() + 20, level_k.begin() + 40, 0.5F);
  std::fill(level_k.begin() + 60, level_k.begin() + 70, 0.02F);  // a quiet word, 28 dB below
  float silence = gaze::silence_level(level_k);
  CATCH_CHECK(silence == Approx(0.005F));  // 40 dB below the loudest
  CATCH_CHECK(level_k[0] < silence);
  CATCH_CHECK(level_k[65] > silence);

  for (size_t k = 0; k < level_k.size(); ++k) level_k[k] = std::hypot(level_k[k], k % 2 == 0 ? 0.0095F : 0.0105F);
  silence = gaze::silence_level(level_k);
  CATCH_CHECK(silence == Approx(1.4F * 0.0095F));
  for (size_t k = 0; k < level_k.size(); ++k) {
    const bool word = (k >= 20 && k < 40) || (k >= 60 && k < 70);
    CATCH_CHECK((level_k[k] > silence) == word);
  }
}

CATCH_TEST_CASE("silence: all without sound; nothing in a sound that never changes") {
  CATCH_CHECK(gaze::silence_level({}) > 0);
  CATCH_CHECK(gaze::silence_level(std::vector<float>(30, 0.F)) > 0);
  CATCH_CHECK(gaze::silence_level({kNaN, kInfinity}) > 0);
  std::vector<float> level_k(30, 0.1F);
  CATCH_CHECK(gaze::silence_level(level_k) < 0.1F);
  level_k[7] = 0.19F;  // within 6 dB
  CATCH_CHECK(gaze::silence_level(level_k) < 0.1F);
  level_k[7] = 0.21F;
  CATCH_CHECK(gaze::silence_level(level_k) == Approx(0.105F));  // 6 dB below the loudest
}

CATCH_TEST_CASE("energy: starts and ends move to where the sound begins and stops, within reach") {
  //                       0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19
  const std::vector<float> level_k = {0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0};
  const auto moved = [&](std::vector<WordSpan> spans, int64_t reach) {
    gaze::align_to_energy(spans, level_k, reach);
    return bounds(spans);
  };
  CATCH_CHECK(moved({{5, 6}, {14, 15}}, 3) == std::vector<int64_t>{3, 8, 12, 18});   // outward
  CATCH_CHECK(moved({{1, 10}, {10, 20}}, 3) == std::vector<int64_t>{3, 8, 12, 18});  // inward
  CATCH_CHECK(moved({{3, 8}, {12, 18}}, 3) == std::vector<int64_t>{3, 8, 12, 18});   // there already
  CATCH_CHECK(moved({{5, 6}, {14, 15}}, 1) == std::vector<int64_t>{5, 6, 14, 15});   // out of reach: stays
  CATCH_CHECK(moved({{5, 7}, {14, 15}}, 2) == std::vector<int64_t>{3, 8, 12, 15});
  CATCH_CHECK(moved({{8, 11}}, 3) == std::vector<int64_t>{8, 11});                      // no sound within
  CATCH_CHECK(moved({{13, 15}, {15, 17}}, 3) == std::vector<int64_t>{12, 15, 15, 18});  // one sound, two words
  CATCH_CHECK(moved({{3, 5}, {6, 8}}, 3) == std::vector<int64_t>{3, 5, 6, 8});          // between them it never stops
  CATCH_CHECK(moved({{5, 6}}, 0) == std::vector<int64_t>{5, 6});
  CATCH_CHECK(moved({}, 3).empty());
}

CATCH_TEST_CASE("energy: the recording's ends are edges, and what is silent throughout moves nothing") {
  std::vector<WordSpan> spans = {{2, 3}, {8, 9}};
  gaze::align_to_energy(spans, {1, 1, 1, 1, 0, 0, 1, 1, 1, 1}, 3);
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{0, 4, 6, 10});
  spans = {{2, 3}, {8, 9}};
  gaze::align_to_energy(spans, std::vector<float>(10, 0.F), 3);
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{2, 3, 8, 9});
  spans = {{0, 1}};
  gaze::align_to_energy(spans, {}, 3);
  CATCH_CHECK(bounds(spans) == std::vector<int64_t>{0, 1});
}
