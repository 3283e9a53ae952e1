// SPDX-License-Identifier: MIT
// When words were heard: cut to the recording, laid out by windows, told from padding and silence.
#include <ATen/ops/cat.h>
#include <ATen/ops/sin.h>
#include <gaze/render/sound.hpp>

#include <cmath>
#include <limits>

#include "records.hpp"

namespace {

using gaze::DropReason;
using gaze::test::planted;

constexpr double kKey = 0.02;

/// A tone, [channels, samples].
at::Tensor tone(double seconds, int64_t rate = 8000, int64_t channels = 1, double level = 0.5) {
  const auto samples = static_cast<int64_t>(std::lround(seconds * static_cast<double>(rate)));
  return (at::arange(samples, at::kFloat) * (2 * M_PI * 0.05))
      .sin()
      .mul(level)
      .expand({channels, samples})
      .contiguous();
}

/// One word per token; 90 % of its attention on nine keys of a window of `keys`, half of that on the middle one,
/// hot[t].
gaze::AttentionRecord heard(int64_t keys, const std::vector<int64_t>& hot, const at::Tensor& samples,
                            int64_t rate = 8000) {
  gaze::AttentionRecord record = planted(1, keys, hot);
  for (size_t t = 0; t < hot.size(); ++t) {
    at::Tensor row_k = record.maps[0].map_tk[static_cast<int64_t>(t)];
    row_k.fill_(0.05 / static_cast<double>(keys));
    for (int64_t k = std::max<int64_t>(0, hot[t] - 4); k < std::min(keys, hot[t] + 5); ++k)
      row_k[k] += k == hot[t] ? 0.45 : 0.05625;
  }
  record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
  gaze::SoundMedium medium;
  medium.geometry = record.maps[0].geometry();
  medium.geometry.time = gaze::Timeline{.seconds_per_key = kKey};
  medium.sound.samples = samples;
  medium.sound.sample_rate_hz = rate;
  record.maps[0].medium = std::move(medium);
  for (size_t t = 0; t < hot.size(); ++t) record.labels.push_back("word" + std::to_string(t));
  return record;
}

}  // namespace

CATCH_TEST_CASE("timing: the hottest key's middle is told in seconds, and the word lies around it") {
  const gaze::WordTiming timing = gaze::time_words(heard(50, {10, 30, 44}, tone(1)));
  CATCH_REQUIRE(timing.words.size() == 3);
  CATCH_CHECK(timing.seconds == 1.0);
  CATCH_CHECK(timing.seconds_per_key == kKey);
  const double keys[] = {10, 30, 44};
  for (size_t w = 0; w < 3; ++w) {
    const gaze::TimedWord& word = timing.words[w];
    CATCH_CHECK(word.word.text == "word" + std::to_string(w));
    CATCH_CHECK(word.hot_seconds == Approx((keys[w] + 0.5) * kKey));
    CATCH_CHECK(word.start_seconds <= keys[w] * kKey + 1e-9);
    CATCH_CHECK(word.end_seconds >= (keys[w] + 1) * kKey - 1e-9);
    CATCH_CHECK(word.mass == Approx(0.95));
    CATCH_CHECK(word.mass_on_padding == Approx(0).margin(1e-6));
    CATCH_CHECK(word.share_within > 0.8);
    CATCH_CHECK_FALSE(word.silence);
    CATCH_CHECK_FALSE(word.diffuse);
  }
  CATCH_CHECK(std::isnan(timing.summary.start_seconds));
}

CATCH_TEST_CASE("timing: keys begin at first_seconds, and the recording where the host says") {
  gaze::AttentionRecord record = heard(50, {10, 30}, tone(0.8));
  record.maps[0].geometry().time->first_seconds = -0.01;
  sound_of(record).start_seconds = 60;
  const gaze::WordTiming timing = gaze::time_words(record);
  CATCH_CHECK(timing.start_seconds == 60);
  CATCH_CHECK(timing.words[0].hot_seconds == Approx(60 + 10 * kKey));
  CATCH_CHECK(timing.words[1].hot_seconds == Approx(60 + 30 * kKey));
  CATCH_CHECK(timing.words[0].start_seconds >= 60);
}

CATCH_TEST_CASE("timing: keys after the recording's end are padding, said and never hot") {
  // 0.6 s of 1 s: 30 keys. The second word looks at keys 36 to 44.
  const gaze::WordTiming timing = gaze::time_words(heard(50, {10, 40}, tone(0.6)));
  CATCH_CHECK(timing.seconds == Approx(0.6));
  CATCH_CHECK(timing.words[0].mass == Approx(0.9 + 30 * 0.001));
  CATCH_CHECK(timing.words[0].mass_on_padding == Approx(20 * 0.001));
  CATCH_CHECK(timing.words[1].mass == Approx(30 * 0.001));
  CATCH_CHECK(timing.words[1].mass_on_padding == Approx(0.9 + 20 * 0.001));
  CATCH_CHECK(timing.words[1].diffuse);
  CATCH_CHECK(timing.words[1].end_seconds <= 0.6 + 1e-9);
  CATCH_CHECK(timing.summary.mass_on_padding == Approx((20 * 0.001 + 0.9 + 20 * 0.001) / 2));
}

CATCH_TEST_CASE("timing: zeros at the end of a model's input are padding, those of a recording are silence") {
  gaze::AttentionRecord record = heard(50, {10, 40}, at::cat({tone(0.6), at::zeros({1, 3200})}, 1));
  CATCH_CHECK(gaze::time_words(record).seconds == Approx(1.0));
  CATCH_CHECK(gaze::time_words(record).words[1].silence);
  CATCH_CHECK_FALSE(gaze::time_words(record).words[0].silence);
  sound_of(record).padded = true;
  CATCH_CHECK(gaze::time_words(record).seconds == Approx(0.6).margin(0.001));
  sound_of(record).samples = at::zeros({1, 8000});
  CATCH_CHECK(gaze::time_words(record).seconds == Approx(1.0));  // nothing but zeros: all of it
  CATCH_CHECK(gaze::time_words(record).words[0].silence);
}

CATCH_TEST_CASE("timing: windows lie where they begin, between two keys too") {
  gaze::AttentionRecord record = heard(50, {10, 30, 5}, tone(1.505));
  windows_of(record) = {{0, 0}, {2, 0.5}};
  CATCH_CHECK(gaze::time_words(record).words[1].hot_seconds == Approx(30.5 * kKey));
  CATCH_CHECK(gaze::time_words(record).words[2].hot_seconds == Approx(0.5 + 5.5 * kKey));
  CATCH_CHECK(gaze::time_words(record).words[2].mass == Approx(0.95));
  // A quarter key later: three quarters of the weight stay.
  windows_of(record)[1].start_seconds = 0.505;
  const gaze::WordTiming between = gaze::time_words(record);
  CATCH_CHECK(between.words[2].hot_seconds == Approx(0.5 + 5.5 * kKey));
  CATCH_CHECK(between.words[2].mass == Approx(0.95));
  CATCH_CHECK(between.words[2].max_lift == Approx(50 * 0.451));  // of a key, wherever it lies
}

CATCH_TEST_CASE("timing: a sound in parts is heard as each part is by itself") {
  // Three windows of a second, of which the second hears 0.7 s, and the third what is left of the sound.
  const std::vector<std::vector<int64_t>> hot = {{8, 30, 44}, {5, 22}, {12, 31}};
  const double starts[] = {0, 1, 1.7}, lengths[] = {1, 0.7, 0.8};
  const at::Tensor sound = at::cat({tone(1.2), tone(0.5, 8000, 1, 1e-4), tone(0.8)}, 1);
  gaze::AttentionRecord whole = heard(50, {8, 30, 44, 5, 22, 12, 31}, sound);
  whole.maps[0].map_tk[4].fill_(0.05 / 50).narrow(0, 36, 9).add_(0.1);  // its padding alone
  windows_of(whole) = {{0, 0}, {3, starts[1], lengths[1]}, {5, starts[2]}};
  const gaze::WordTiming timing = gaze::time_words(whole);
  CATCH_CHECK(timing.seconds == Approx(2.5));
  size_t w = 0;
  double summary_lift = 0;
  for (size_t part = 0; part < hot.size(); ++part) {
    const auto first = static_cast<int64_t>(std::lround(starts[part] * 8000));
    const auto count = static_cast<int64_t>(std::lround(lengths[part] * 8000));
    gaze::AttentionRecord alone = heard(50, hot[part], sound.narrow(1, first, count).contiguous());
    alone.maps[0].map_tk =
        whole.maps[0].map_tk.narrow(0, static_cast<int64_t>(w), static_cast<int64_t>(hot[part].size())).clone();
    const gaze::WordTiming by_itself = gaze::time_words(alone);
    summary_lift = std::max(summary_lift, by_itself.summary.max_lift);
    for (const gaze::TimedWord& word : by_itself.words) {
      CATCH_CAPTURE(part, w);
      CATCH_CHECK(timing.words[w].start_seconds == Approx(word.start_seconds + starts[part]));
      CATCH_CHECK(timing.words[w].end_seconds == Approx(word.end_seconds + starts[part]));
      CATCH_CHECK(timing.words[w].share_within == Approx(word.share_within));
      CATCH_CHECK(timing.words[w].mass == Approx(word.mass));
      CATCH_CHECK(timing.words[w].max_lift == Approx(word.max_lift));
      CATCH_CHECK(timing.words[w].entropy == Approx(word.entropy));
      CATCH_CHECK(timing.words[w].diffuse == word.diffuse);
      CATCH_CHECK(timing.words[w].mass_on_padding == Approx(word.mass_on_padding));
      ++w;
    }
  }
  CATCH_REQUIRE(w == timing.words.size());
  CATCH_CHECK(timing.words[4].mass_on_padding > 0.9);
  CATCH_CHECK_FALSE(timing.words[4].hot_seconds > 1.7);  // where the next part's sound lies
  CATCH_CHECK(timing.words[1].hot_seconds == Approx(30.5 * kKey));
  CATCH_CHECK(timing.words[6].hot_seconds == Approx(1.7 + 31.5 * kKey));
  // What several words could attend to, each of them shares in; words of other parts do not dilute it.
  CATCH_CHECK(timing.summary.max_lift == Approx(summary_lift));
}

CATCH_TEST_CASE("timing: one word does not make the mean of all pale") {
  std::vector<int64_t> hot;
  for (int64_t t = 0; t < 11; ++t) hot.push_back(10 * t + 5);
  gaze::AttentionRecord record = heard(110, hot, tone(2.2));
  record.maps[0].map_tk[7][75] = 0.9;
  record.style.normalise.subtract_sinks = false;
  const gaze::WordTiming timing = gaze::time_words(record);
  // Each cell's mean over 11 words, of which one is hot there.
  const double usual = 110 * (0.45 + 11 * 0.05 / 110) / 11;
  CATCH_CHECK(timing.summary.range_max_lift == Approx(usual));
  CATCH_CHECK(timing.summary.max_lift == Approx(110 * (0.9 + 10 * 0.05 / 110) / 11));
  CATCH_CHECK(timing.summary.hot_seconds == Approx(75.5 * kKey));
}

CATCH_TEST_CASE("timing: a word of two parts lies in both, and is marked where it begins") {
  gaze::AttentionRecord record = heard(50, {10, 30, 5}, tone(1.5));
  record.labels = {" one", " two", "fold"};
  windows_of(record) = {{0, 0}, {2, 0.5}};
  const gaze::WordTiming timing = gaze::time_words(record);
  CATCH_REQUIRE(timing.words.size() == 2);
  CATCH_CHECK(timing.words[1].start_seconds == Approx(26 * kKey).margin(2 * kKey));
  CATCH_CHECK(timing.words[1].end_seconds == Approx(35 * kKey).margin(2 * kKey));
}

namespace {

struct Heard {
  const char* label;
  int64_t hot;
};

/// "first key-end key, share within", of every word; the second window begins at the token and key said.
std::vector<std::string> marks(const std::vector<Heard>& tokens, int64_t second_from) {
  std::vector<int64_t> hot;
  for (const Heard& token : tokens) hot.push_back(token.hot);
  gaze::AttentionRecord record = heard(60, hot, tone(2.4));
  for (size_t t = 0; t < tokens.size(); ++t) record.labels[t] = tokens[t].label;
  windows_of(record) = {{0, 0}, {second_from, 1.2}};
  std::vector<std::string> out;
  for (const gaze::TimedWord& word : gaze::time_words(record).words) {
    out.push_back(std::to_string(std::lround(word.start_seconds / kKey)) + "-" +
                  std::to_string(std::lround(word.end_seconds / kKey)) + ", " + std::to_string(word.share_within));
  }
  return out;
}

}  // namespace

CATCH_TEST_CASE("timing: punctuation is not said, and leaves each word the time that it has without it") {
  const std::vector<std::string> plain = marks({{" one", 10}, {" two", 32}, {" three", 20}, {" four", 40}}, 2);
  CATCH_REQUIRE(plain.size() == 4);
  // Its row looks at the next word.
  CATCH_CHECK(marks({{" one", 10}, {",", 33}, {" two", 32}, {" three", 20}, {"!", 42}, {" four", 40}, {"...", 58}},
                    3) == plain);
  CATCH_CHECK(
      marks({{" \"", 9}, {"one", 10}, {" two", 32}, {",", 50}, {" (", 20}, {"three", 20}, {").", 41}, {" four", 40}},
            4) == plain);
  // Split as byte-level and SentencePiece tokens are, and of other scripts.
  CATCH_CHECK(marks({{"\xC4\xA0one", 10},
                     {"\xC3\xA2\xC4\xA2", 33},
                     {"\xC4\xBE", 33},
                     {"\xC4\xA0two", 32},
                     {"\xC4\xA0three", 20},
                     {"\xC4\xA0"
                      "four",
                      40}},
                    4) == plain);
  CATCH_CHECK(marks({{"\xE2\x96\x81one", 10},
                     {"\xE0\xA5\xA4", 33},
                     {"\xE2\x96\x81two", 32},
                     {"\xE2\x96\x81three", 20},
                     {"\xE2\x96\x81"
                      "four",
                      40}},
                    3) == plain);
  // A window that begins with the end of a word.
  CATCH_CHECK(marks({{" one", 10}, {" two", 32}, {",", 19}, {" three", 20}, {" four", 40}}, 2).size() == 4);
  // A word of nothing else has only its own rows; what is read out by its name is no punctuation.
  for (const char* alone : {" -", " %", " b"})
    CATCH_CHECK(marks({{" one", 10}, {alone, 32}, {" three", 20}, {" four", 40}}, 2) == plain);
}

CATCH_TEST_CASE("timing: a sound and keys that contradict each other are refused") {
  GAZE_REQUIRE_REFUSED(gaze::time_words(heard(50, {10}, tone(1.5))), DropReason::GridMismatch,
                       "sound: expected at most 1.00 s, which 50 keys of 0.02 s cover, got 1.50 s");
  gaze::AttentionRecord whole = heard(50, {10}, tone(0.6));
  whole.maps[0].geometry().time->whole = true;
  GAZE_REQUIRE_REFUSED(gaze::time_words(whole), DropReason::GridMismatch, "sound: expected about 1.00 s");
  sound_of(whole).samples = tone(1.03);
  CATCH_CHECK(gaze::time_words(whole).seconds == Approx(1.03));
  gaze::AttentionRecord late = heard(50, {10, 20}, tone(1));
  windows_of(late) = {{0, 0}, {1, 1.0}};
  GAZE_REQUIRE_REFUSED(gaze::time_words(late), DropReason::GridMismatch, "window: expected a start of 0.00 s or later");
  windows_of(late) = {{0, 0.5}, {1, 0.2}};
  GAZE_REQUIRE_REFUSED(gaze::time_words(late), DropReason::GridMismatch, "got 0.20 s");
  windows_of(late) = {{0, 0}, {1, std::nan("")}};
  GAZE_REQUIRE_REFUSED(gaze::time_words(late), DropReason::GridMismatch, "window: expected a start of");
  for (const double seconds : {0.0, -1.0, std::nan("")}) {
    windows_of(late) = {{0, 0}, {1, 0.2, seconds}};
    GAZE_REQUIRE_REFUSED(gaze::time_words(late), DropReason::GridMismatch, "window: expected a length above 0, got");
  }
}

CATCH_TEST_CASE("timing: broken and odd samples") {
  const auto with = [](const at::Tensor& samples, int64_t rate = 8000) {
    return gaze::time_words(heard(50, {10}, samples, rate));
  };
  at::Tensor broken = tone(1);
  broken[0][4321] = std::numeric_limits<float>::quiet_NaN();
  GAZE_REQUIRE_REFUSED(with(broken), DropReason::DecodeFailed, "expected finite samples, got NaN or infinity near 0.5");
  GAZE_REQUIRE_REFUSED(with(at::zeros({1, 0})), DropReason::DecodeFailed, "at least 1 sample");
  GAZE_REQUIRE_REFUSED(with(at::zeros({65, 10})), DropReason::DecodeFailed, "1..64 channels");
  GAZE_REQUIRE_REFUSED(with(at::zeros({2, 10, 3})), DropReason::DecodeFailed, "Put the channels first");
  GAZE_REQUIRE_REFUSED(with(at::zeros({1, 10}, at::kLong)), DropReason::DecodeFailed, "floating or 16-bit samples");
  GAZE_REQUIRE_REFUSED(with(tone(1), 0), DropReason::DecodeFailed, "Set sample_rate_hz");
  CATCH_CHECK(with(tone(1)[0]).seconds == 1.0);                                    // [samples]
  CATCH_CHECK(with(tone(1).mul(32767).to(at::kShort)).words[0].silence == false);  // 16 bit
  CATCH_CHECK(with(tone(1, 8000, 7)).seconds == 1.0);                              // 7 channels
  CATCH_CHECK(with(tone(1, 192000), 192000).words[0].hot_seconds == Approx(10.5 * kKey));
  CATCH_CHECK(with(tone(1).mul(100).clamp(-1, 1)).words[0].hot_seconds == Approx(10.5 * kKey));  // clipped
  CATCH_CHECK(with(at::zeros({1, 8000})).words[0].silence);
  const gaze::WordTiming shortest = with(at::ones({1, 1}));
  CATCH_CHECK(shortest.seconds == Approx(1.0 / 8000));
  CATCH_CHECK(shortest.words[0].mass_on_padding > 0.9);
  CATCH_CHECK(with(tone(1).t().contiguous().t()).seconds == 1.0);  // strided
}

CATCH_TEST_CASE("timing: an hour in windows") {
  const int64_t keys = 1500;
  gaze::AttentionRecord record = heard(keys, {100, 1400}, tone(3600, 1000), 1000);
  windows_of(record) = {{0, 0}, {1, 3570}};
  const gaze::WordTiming timing = gaze::time_words(record);
  CATCH_CHECK(timing.seconds == 3600);
  CATCH_CHECK(timing.words[1].hot_seconds == Approx(3570 + 1400.5 * kKey));
}

CATCH_TEST_CASE("timing: without a sound the numbers are those of the window") {
  gaze::AttentionRecord record = heard(50, {10}, {});
  sound_of(record) = {};
  const gaze::WordTiming timing = gaze::time_words(record);
  CATCH_CHECK(timing.seconds == Approx(1.0));
  CATCH_CHECK(timing.words[0].hot_seconds == Approx(10.5 * kKey));
  CATCH_CHECK_FALSE(timing.words[0].silence);

  record = heard(50, {10, 20, 30}, {});
  sound_of(record) = {};
  record.maps[0].geometry().time->whole = true;
  windows_of(record) = {{0, 0}, {1, 0.9}, {2, 7}};
  const gaze::WordTiming windows = gaze::time_words(record);
  CATCH_CHECK(windows.seconds == Approx(8.0));
  CATCH_CHECK(windows.words[1].hot_seconds == Approx(0.9 + 20.5 * kKey));
  CATCH_CHECK(windows.words[2].hot_seconds == Approx(7 + 30.5 * kKey));
  windows_of(record)[2].start_seconds = std::numeric_limits<double>::infinity();
  GAZE_REQUIRE_REFUSED(gaze::time_words(record), DropReason::GridMismatch, "window: expected a start");
}

CATCH_TEST_CASE("timing: a picture's record is refused") {
  GAZE_REQUIRE_REFUSED(gaze::time_words(planted(2, 3, {1})), DropReason::GridMismatch, "Call compose()");
}
