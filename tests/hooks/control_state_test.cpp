// SPDX-License-Identifier: MIT
// Which requests are captured: patterns, files, limits and the breaker by themselves, at times that the test makes.
#include "operate/control_state.hpp"

#include <gaze/render/status.hpp>

#include <random>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "support/test.hpp"

using gaze::Breaker;
using gaze::Choices;
using gaze::Control;
using gaze::ControlState;
using gaze::DropReason;
using gaze::RequestSpec;

namespace {

DropReason of(ControlState& state, const RequestSpec& spec, bool drawn = false) {
  return state.decide({spec}, drawn)[0];
}

constexpr int64_t kMs = 1'000'000;

void fail_often(Breaker& breaker, int64_t now_ns) {
  for (int i = 0; i < Breaker::kFailures; ++i) breaker.failed(DropReason::DiskFull, now_ns);
}

}  // namespace

CATCH_TEST_CASE("control: patterns match as regular expressions of the same meaning do") {
  std::mt19937 random(7);
  const std::string letters = "ab*?";
  int agreed = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string pattern, text, expression;
    for (size_t n = random() % 6; n > 0; --n) pattern += letters[random() % 4];
    for (size_t n = random() % 6; n > 0; --n) text += letters[random() % 2];
    for (const char c : pattern) expression += c == '*' ? ".*" : c == '?' ? "." : std::string(1, c);
    const bool wanted = std::regex_match(text, std::regex(expression));
    CATCH_REQUIRE(gaze::matches(pattern, text) == wanted);
    agreed += wanted ? 1 : 0;
  }
  CATCH_CHECK(agreed > 400);
  // What takes a naive matcher for ever.
  CATCH_CHECK_FALSE(gaze::matches(std::string(100, '*') + "b", std::string(200'000, 'a')));
}

CATCH_TEST_CASE("control: what a rule says it reads again") {
  for (const char* text : {"all", "flagged", "slow:2.5", "long:40", "flagged,slow:0.125,long:7"}) {
    const auto rule = gaze::parse_keep(text);
    CATCH_REQUIRE(rule);
    CATCH_CHECK(gaze::text_of(*rule) == text);
  }
  for (const char* text : {"", "none", "flagged,", "slow:", "slow:0", "slow:-1", "slow:nan", "slow:inf", "long:0",
                           "long:1.5", "all,flagged", "FLAGGED"}) {
    CATCH_CHECK_FALSE(gaze::parse_keep(text));
  }
}

CATCH_TEST_CASE("control: a file changes what it names, and says what it does not understand") {
  Control before;
  before.ids = "kept*";
  const auto file = gaze::read_control(
      "# at three in the morning\n\ncapture = off\r\n  sample_rate=0.25\nnext = 5\nprompts = *invoice = paid*\n"
      "per_second = 2\nkeep = flagged,slow:2\nuntil = 1796083200",
      before);
  CATCH_CHECK(file.problems.empty());
  CATCH_CHECK_FALSE(file.control.capture);
  CATCH_CHECK(file.control.sample_rate == 0.25);
  CATCH_CHECK(file.control.next == 5);
  CATCH_CHECK(file.says_next);
  CATCH_CHECK(file.control.ids == "kept*");
  CATCH_CHECK(file.control.prompts == "*invoice = paid*");
  CATCH_CHECK(file.control.per_second == 2);
  CATCH_CHECK(file.control.keep.flagged);
  CATCH_CHECK(file.until_seconds == 1796083200);
  for (const char* line :
       {"capture = maybe", "sample_rate = 2", "sample_rate = nan", "sample_rate = 1%", "next = -1", "next = 1e3",
        "per_second = -1", "keep = some", "until = tomorrow", "rate = 1", "capture", "= on", "\x01\xff = \xfe"}) {
    const auto wrong = gaze::read_control(line, before);
    CATCH_INFO(line);
    CATCH_CHECK(wrong.problems.size() == 1);
    CATCH_CHECK(wrong.control == before);
  }
  CATCH_CHECK(gaze::read_control(std::string(100'000, '\n') + "capture = off", before).control == before);
  CATCH_CHECK(gaze::read_control(std::string(1000, 'x') + "\n" + std::string(50, '\n'), before).problems.size() == 1);
}

CATCH_TEST_CASE("control: opting out wins, opting in beats the sample, patterns and the next ones whatever the rate") {
  ControlState state({.sample_rate = 0, .next = 1, .ids = "vip-*", .prompts = "*why*"});
  CATCH_CHECK(of(state, {.capture = false}, true) == DropReason::OptedOut);
  CATCH_CHECK(of(state, {.id = "vip-1", .capture = false}) == DropReason::OptedOut);
  CATCH_CHECK(of(state, {.capture = true}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {.id = "vip-1"}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {.prompt = "tell me why"}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {}, true) == Choices::kCaptured);
  CATCH_CHECK(state.get().next == 1);
  CATCH_CHECK(of(state, {}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {}) == DropReason::NotSampled);
  CATCH_CHECK(state.get().next == 0);
  // One decision for each row.
  const Choices choices = state.decide({{}, {.capture = true}, {.capture = false}, {.id = "vip-2"}}, false);
  CATCH_CHECK(choices.captured() == 2);
  CATCH_CHECK(choices[0] == DropReason::NotSampled);
  CATCH_CHECK(choices[2] == DropReason::OptedOut);
  state.set({.capture = false, .next = 3});
  CATCH_CHECK(of(state, {.capture = true}, true) == DropReason::NotSampled);
  CATCH_CHECK(of(state, {.capture = false}, true) == DropReason::OptedOut);
  CATCH_CHECK(state.decide_unasked(true) == DropReason::NotSampled);
}

CATCH_TEST_CASE("control: files win over the host while they are there, and next is counted once") {
  ControlState state({.sample_rate = 0.5, .next = 10});
  CATCH_CHECK(state.set_files({"sample_rate = 0\nnext = 2\n", "capture = off\nuntil = 100"}, 99).empty());
  CATCH_CHECK(state.get() == Control{.capture = false, .sample_rate = 0, .next = 2});
  state.set_files({"sample_rate = 0\nnext = 2\n", "capture = off\nuntil = 100"}, 100);
  CATCH_CHECK(state.on());
  CATCH_CHECK(of(state, {}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {}) == Choices::kCaptured);
  CATCH_CHECK(of(state, {}) == DropReason::NotSampled);
  state.set_files({"sample_rate = 0\nnext = 2\n", ""}, 101);
  CATCH_CHECK(state.get().next == 0);
  // The host's word counts below the file's.
  state.set({.sample_rate = 1, .next = 10});
  CATCH_CHECK(state.sample_rate() == 0);
  CATCH_CHECK(state.get().next == 0);
  state.set_files({"", ""}, 102);
  CATCH_CHECK(state.sample_rate() == 1);
  CATCH_CHECK(state.get().next == 0);
  CATCH_CHECK(state.set_files({"capture = of", "next = x"}, 103).size() == 2);
}

CATCH_TEST_CASE("control: what is left of a file's next ends with the file, and the host's does not") {
  for (const std::string over : {"", "next = 5\nuntil = 100\n"}) {
    ControlState state({.sample_rate = 0});
    state.set_files({"", "next = 5\nuntil = 100\n"}, 99);
    CATCH_CHECK(of(state, {}) == Choices::kCaptured);
    // Another line in the file does not count as its end.
    state.set_files({"", "per_second = 9\nuntil = 100\n"}, 99);
    CATCH_CHECK(of(state, {}) == Choices::kCaptured);
    state.set_files({"", over}, 100);
    CATCH_CHECK(of(state, {}) == DropReason::NotSampled);
    CATCH_CHECK(state.get().next == 0);
    state.set({.sample_rate = 0, .next = 3});
    state.set_files({"", ""}, 101);
    CATCH_CHECK(state.get().next == 3);
  }
}

CATCH_TEST_CASE("control: values out of their range are refused, and nothing is changed") {
  ControlState state({.sample_rate = 0.5});
  for (const Control& wrong : {Control{.sample_rate = 2}, Control{.sample_rate = std::nan("")}, Control{.next = -1},
                               Control{.per_second = -1}, Control{.per_second = std::nan("")}}) {
    CATCH_CHECK_THROWS_AS(state.set(wrong), gaze::Error);
    CATCH_CHECK(state.sample_rate() == 0.5);
  }
  for (int i = 0; i < 4096; ++i) state.set({.ids = std::to_string(i)});
  state.set({.ids = "17"});  // known
  CATCH_CHECK_THROWS_WITH(state.set({.ids = "one more"}), Catch::Contains("4096"));
  CATCH_CHECK(state.get().ids == "17");
}

CATCH_TEST_CASE("control: a limit lets a second's worth pass at once and then no more") {
  ControlState state({.per_second = 3});
  int passed = 0, limited = 0;
  for (int i = 0; i < 50; ++i) {
    const DropReason reason = of(state, {}, true);
    passed += reason == Choices::kCaptured ? 1 : 0;
    limited += reason == DropReason::RateLimited ? 1 : 0;
  }
  CATCH_CHECK(passed + limited == 50);
  // A machine that stands still for a second in between lets more pass.
  CATCH_CHECK(passed >= 3);
  CATCH_CHECK(limited > 0);
  ControlState slow({.per_second = 1e-3});
  CATCH_CHECK(of(slow, {}, true) == Choices::kCaptured);
  CATCH_CHECK(of(slow, {.capture = true}, true) == DropReason::RateLimited);
}

CATCH_TEST_CASE("control: whoever asks while it is set gets one answer or the other") {
  ControlState state(Control{});
  std::atomic<bool> stop{false};
  std::vector<std::thread> hosts;
  std::atomic<int64_t> wrong{0};
  for (int t = 0; t < 3; ++t) {
    hosts.emplace_back([&] {
      while (!stop.load()) {
        const DropReason reason = of(state, {.id = "aa"}, false);
        if (reason != Choices::kCaptured && reason != DropReason::NotSampled) wrong.fetch_add(1);
      }
    });
  }
  for (int i = 0; i < 2000; ++i) {
    state.set({.sample_rate = (i % 5) / 5.0, .ids = i % 2 == 0 ? "a*" : "b*"});
    state.set_files({i % 3 == 0 ? "capture = off" : "", "ids = *a"}, i);
  }
  stop.store(true);
  for (std::thread& host : hosts) host.join();
  CATCH_CHECK(wrong.load() == 0);
}

CATCH_TEST_CASE("breaker: opens after failures in a row, tries now and then, and closes with the first success") {
  Breaker breaker;
  for (int i = 0; i + 1 < Breaker::kFailures; ++i) breaker.failed(DropReason::DiskFull, 0);
  breaker.succeeded();
  for (int i = 0; i + 1 < Breaker::kFailures; ++i) breaker.failed(DropReason::DiskFull, 0);
  CATCH_CHECK_FALSE(breaker.open());
  breaker.failed(DropReason::IoError, 10 * kMs);
  CATCH_CHECK(breaker.open());
  CATCH_CHECK(breaker.reason() == DropReason::IoError);
  CATCH_CHECK(breaker.opened() == 1);
  CATCH_CHECK_FALSE(breaker.allows(200 * kMs));
  // One try, and no other until the next pause is over, even if nothing becomes of it.
  CATCH_CHECK(breaker.allows(260 * kMs));
  CATCH_CHECK_FALSE(breaker.allows(261 * kMs));
  CATCH_CHECK(breaker.allows(511 * kMs));
  breaker.succeeded();
  CATCH_CHECK_FALSE(breaker.open());
  CATCH_CHECK(breaker.allows(512 * kMs));
}

CATCH_TEST_CASE("breaker: pauses grow to four seconds and no longer, so that it heals within five") {
  Breaker breaker;
  int64_t now = 0;
  fail_often(breaker, now);
  int64_t longest = 0;
  for (int tries = 0; tries < 20; ++tries) {
    int64_t waited = 0;
    while (!breaker.allows(now)) {
      now += kMs;
      waited += kMs;
    }
    longest = std::max(longest, waited);
    now += kMs;
    breaker.failed(DropReason::DiskFull, now);
    // What was on its way when it opened fails too, and makes nothing longer.
    breaker.failed(DropReason::DiskFull, now);
  }
  CATCH_CHECK(longest <= Breaker::kLongestPauseNs);
  CATCH_CHECK(longest > 3'900 * kMs);
  CATCH_CHECK(breaker.opened() == 1);
}

CATCH_TEST_CASE("breaker: what a request can cause does not open it") {
  for (size_t i = 0; i < static_cast<size_t>(DropReason::kCount); ++i) {
    const auto reason = static_cast<DropReason>(i);
    Breaker breaker;
    for (int n = 0; n < 100; ++n) breaker.failed(reason, n);
    const bool ours = reason == DropReason::OutDir || reason == DropReason::DiskFull || reason == DropReason::IoError ||
                      reason == DropReason::CudaOom || reason == DropReason::CudaError ||
                      reason == DropReason::Internal;
    CATCH_INFO(gaze::name(reason));
    CATCH_CHECK(breaker.open() == ours);
  }
}
