// SPDX-License-Identifier: MIT
// A stream of answers is told of when it drifts, once, and when it is as before.
#include <gaze/render/drift.hpp>
#include <gaze/render/status.hpp>

#include <vector>

#include "../hooks/allocation_count.hpp"
#include "drifting.hpp"
#include "records.hpp"

namespace {

using gaze::DriftEvent;
using gaze::DriftVerdict;
using gaze::DriftWatch;
using gaze::test::Stream;

std::vector<DriftEvent> events_of(DriftWatch& watch, Stream& stream, int answers, double moved,
                                  const std::string& model = "model") {
  std::vector<DriftEvent> events;
  for (int i = 0; i < answers; ++i) {
    if (auto event = watch.add(stream.next(moved, model))) events.push_back(std::move(*event));
  }
  return events;
}

}  // namespace

CATCH_TEST_CASE("drift watch: drift is told once when it comes and once when it has gone") {
  DriftWatch watch({.reference = 300, .running = 100});
  Stream stream(1);
  CATCH_CHECK(watch.latest() == nullptr);
  CATCH_CHECK(events_of(watch, stream, 1000, 0).empty());
  CATCH_REQUIRE(watch.latest() != nullptr);
  CATCH_CHECK(gaze::verdict_of(*watch.latest()) == DriftVerdict::None);
  const auto came = events_of(watch, stream, 400, 2);
  CATCH_REQUIRE(!came.empty());
  CATCH_CHECK(came.size() <= 2);  // by way of moderate
  CATCH_CHECK(came.front().before == DriftVerdict::None);
  CATCH_CHECK(came.back().now == DriftVerdict::Major);
  CATCH_CHECK(came.back().model == "model");
  CATCH_CHECK(gaze::verdict_of(came.back().figures) == DriftVerdict::Major);
  CATCH_CHECK(events_of(watch, stream, 2000, 2).empty());
  const auto went = events_of(watch, stream, 400, 0);
  CATCH_REQUIRE(!went.empty());
  CATCH_CHECK(went.back().now == DriftVerdict::None);
}

CATCH_TEST_CASE("drift watch: what does not drift is hardly ever said to, however long one looks") {
  int64_t major = 0, moderate = 0, answers = 0;
  for (unsigned seed = 100; seed < 140; ++seed) {
    DriftWatch watch;
    Stream stream(seed);
    constexpr int kAnswers = 5000;
    for (const DriftEvent& event : events_of(watch, stream, kAnswers, 0)) {
      major += event.now == DriftVerdict::Major ? 1 : 0;
      moderate += event.now == DriftVerdict::Moderate && event.before < event.now ? 1 : 0;
    }
    answers += kAnswers;
  }
  CATCH_WARN("of " << answers << " answers " << moderate << " times moderate, " << major << " times major");
  CATCH_CHECK(major == 0);
  CATCH_CHECK(moderate <= 2);
}

CATCH_TEST_CASE("drift watch: each version of a model has its own reference") {
  DriftWatch watch({.reference = 100, .running = 100});
  Stream stream(2);
  CATCH_CHECK(events_of(watch, stream, 300, 0, "one").empty());
  CATCH_CHECK(events_of(watch, stream, 300, 3, "other").empty());  // as it always was
  CATCH_CHECK_FALSE(events_of(watch, stream, 300, 3, "one").empty());
  for (int i = 0; i < 40; ++i) events_of(watch, stream, 1, 0, "model " + std::to_string(i));
  CATCH_CHECK(events_of(watch, stream, 99, 3, "one").empty());  // it gave way, and begins again
  CATCH_CHECK(watch.latest() == nullptr);
}

CATCH_TEST_CASE("drift watch: a reference that was kept is compared with from the first answers on") {
  gaze::AttentionStatistics kept;
  Stream stream(3);
  for (int i = 0; i < 500; ++i) kept.add(stream.next());
  DriftWatch watch({}, gaze::parse_statistics(kept.json(), "kept.json"));
  CATCH_CHECK(events_of(watch, stream, static_cast<int>(gaze::kLeastDriftAnswers) - 1, 3).empty());
  CATCH_CHECK(watch.latest() == nullptr);
  const auto events = events_of(watch, stream, 1, 3);
  CATCH_REQUIRE(events.size() == 1);
  CATCH_CHECK(events.front().now == DriftVerdict::Major);
}

CATCH_TEST_CASE("drift watch: answers allocate nothing once their version is known") {
  DriftWatch watch({.reference = 50, .running = 50});
  Stream stream(4);
  std::vector<gaze::AnswerFigures> answers;
  for (int i = 0; i < 300; ++i) answers.push_back(stream.next());
  watch.add(answers.front());
  CATCH_CHECK(hooks_test::allocations_of([&] {
                for (const gaze::AnswerFigures& figures : answers) watch.add(figures);
              }) == 0);
}

CATCH_TEST_CASE("drift watch: windows too short to say anything of are refused") {
  for (const gaze::DriftWindows& windows :
       {gaze::DriftWindows{.reference = 49, .running = 200}, gaze::DriftWindows{.reference = 500, .running = 0},
        gaze::DriftWindows{.reference = 500, .running = 1'000'001}})
    CATCH_CHECK_THAT(gaze::test::refusal([&] { DriftWatch watch(windows); })->text,
                     Catch::Matchers::Contains("window: expected 50 to 1000000 answers, got "));
}
