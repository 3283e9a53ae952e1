// SPDX-License-Identifier: MIT
// What is said about drops, at times that the test makes.
#include "delivery/drop_report.hpp"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/test.hpp"

using gaze::DropReason;
using gaze::DropReport;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// A report, the counters it reads, a clock, and what was said.
struct Told {
  DropReport report;
  gaze::Stats stats;
  DropReport::Clock::time_point now{seconds(1000)};
  std::vector<std::pair<gaze::LogLevel, std::string>> lines;

  void drop(DropReason reason, int64_t count = 1) { stats.dropped[static_cast<size_t>(reason)] += count; }
  void because(DropReason reason, const std::string& text) {
    CATCH_REQUIRE(text.size() < DropReport::kTextBytes);
    std::strcpy(report.because(reason), text.c_str());
  }
  DropReport::Say say() {
    return [this](gaze::LogLevel level, const char* line) { lines.emplace_back(level, line); };
  }
  DropReport::Clock::time_point tell() { return report.tell(stats, now, say()); }
};

const auto kNever = DropReport::Clock::time_point::max();

}  // namespace

CATCH_TEST_CASE("the first drop of every reason is said at once, with its text or what it means") {
  Told told;
  CATCH_CHECK(told.tell() == kNever);
  CATCH_CHECK(told.lines.empty());
  size_t said = 0;
  for (size_t i = 0; i < told.stats.dropped.size(); ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (reason == DropReason::NotSampled || reason == DropReason::OptedOut || reason == DropReason::SelfCheck ||
        reason == DropReason::TokenLimit)
      continue;
    told.drop(reason);
    CATCH_CHECK(told.tell() == kNever);
    CATCH_REQUIRE(told.lines.size() == ++said);
    CATCH_CHECK(told.lines.back().second.find(std::string("dropped 1 request: ") + gaze::name(reason)) == 0);
    const bool asked_for = reason == DropReason::Superseded || reason == DropReason::RateLimited ||
                           reason == DropReason::NotKept || reason == DropReason::Withdrawn;
    CATCH_CHECK((told.lines.back().first == gaze::LogLevel::Debug) == asked_for);
  }
  told.stats.tokens_dropped = 9;
  told.tell();
  CATCH_CHECK(told.lines.back().second.find("dropped 9 tokens: token_limit: ") == 0);
  told.lines.clear();
  told.drop(DropReason::NotSampled, 100);  // was never wanted
  told.drop(DropReason::SelfCheck);        // attach has said it
  CATCH_CHECK(told.tell() == kNever);
  CATCH_CHECK(told.lines.empty());
}

CATCH_TEST_CASE("after its first line a reason is said once a minute, with counts and its latest text, for ever") {
  Told told;
  const auto start = told.now;
  told.because(DropReason::OutDir, "the first place");
  told.drop(DropReason::OutDir);
  told.tell();
  CATCH_REQUIRE(told.lines.size() == 1);
  CATCH_CHECK(told.lines[0].second == "dropped 1 request: out_dir: the first place");
  for (int minute = 1; minute <= 200; ++minute) {
    for (int i = 0; i < 500; ++i) {
      told.now = start + seconds(60) * (minute - 1) + milliseconds(1 + 100 * i);
      told.drop(DropReason::OutDir);
      told.because(DropReason::OutDir, "place " + std::to_string(minute));
      CATCH_REQUIRE(told.tell() == start + seconds(60) * minute);
      CATCH_REQUIRE((told.report.resting(told.now) & gaze::Counters::bit(DropReason::OutDir)) != 0);
    }
    CATCH_REQUIRE(told.lines.size() == static_cast<size_t>(minute));
    told.now = start + seconds(60) * minute;
    CATCH_REQUIRE(told.report.resting(told.now) == 0);
    CATCH_REQUIRE(told.tell() == kNever);
    CATCH_REQUIRE(told.lines.size() == static_cast<size_t>(minute) + 1);
    CATCH_REQUIRE(told.lines.back().second == "dropped 500 more requests, " + std::to_string(1 + 500 * minute) +
                                                  " so far: out_dir: place " + std::to_string(minute));
  }
}

CATCH_TEST_CASE("a reason that rests keeps no other one from being said") {
  Told told;
  told.drop(DropReason::QueueBytes);
  told.tell();
  told.now += seconds(1);
  told.drop(DropReason::QueueBytes);
  told.drop(DropReason::DiskFull, 3);
  CATCH_CHECK(told.tell() == told.now + seconds(59));
  CATCH_REQUIRE(told.lines.size() == 2);
  CATCH_CHECK(told.lines[1].second == "dropped 3 requests: disk_full");
}

CATCH_TEST_CASE("the longest text fits into a line") {
  Told told;
  told.because(DropReason::DecodeFailed, std::string(DropReport::kTextBytes - 1, 'x'));
  told.stats.dropped[static_cast<size_t>(DropReason::DecodeFailed)] = std::numeric_limits<int64_t>::max() / 2;
  told.tell();
  told.now += seconds(60);
  told.drop(DropReason::DecodeFailed, std::numeric_limits<int64_t>::max() / 2);
  told.tell();
  CATCH_REQUIRE(told.lines.size() == 2);
  for (const auto& [level, line] : told.lines) CATCH_CHECK(line.find(": decode_failed: x") != std::string::npos);
  for (const auto& [level, line] : told.lines) CATCH_CHECK(line.back() == 'x');
}

CATCH_TEST_CASE("the summary names every reason with its count, and is not made when nothing was dropped") {
  Told told;
  told.stats.sampled = told.stats.written = 5;
  told.drop(DropReason::NotSampled, 7);
  DropReport::sum_up(told.stats, told.say());
  CATCH_CHECK(told.lines.empty());
  told.stats.sampled = 20;
  told.drop(DropReason::QueueBytes, 11);
  told.drop(DropReason::DiskFull, 4);
  told.stats.tokens_dropped = 2;
  DropReport::sum_up(told.stats, told.say());
  CATCH_REQUIRE(told.lines.size() == 1);
  CATCH_CHECK(told.lines[0].second ==
              "shutdown: 5 of 20 captured requests were written; dropped were 11 queue_bytes, 2 token_limit (tokens), "
              "4 disk_full");
  CATCH_CHECK(told.lines[0].first == gaze::LogLevel::Warn);
  for (auto& count : told.stats.dropped) count = std::numeric_limits<int64_t>::max();
  DropReport::sum_up(told.stats, told.say());
  CATCH_CHECK(told.lines.back().second.size() < 1000);
}
