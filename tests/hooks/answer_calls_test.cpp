// SPDX-License-Identifier: MIT
// Which calls make one answer, by the keys of their first attention.
#include "request/answer_calls.hpp"

#include <string>

#include "support/test.hpp"

using gaze::AnswerCalls;
using gaze::AnswerSteps;
using gaze::FirstAttention;
using Verdict = gaze::AnswerSteps::Verdict;

namespace {

struct Call {
  int64_t site;
  bool self;
  int64_t queries, keys;
};

/// C: continues, B: begins another, S: stray. `rows`: every call has rows of the overlay.
std::string story(const std::vector<Call>& calls, bool rows = true) {
  AnswerSteps steps;
  std::string told;
  for (const Call& call : calls) {
    const FirstAttention first{call.site, call.self, call.queries, call.keys};
    const Verdict verdict = steps.judge(first);
    told += verdict == Verdict::Continues ? 'C' : verdict == Verdict::Begins ? 'B' : 'S';
    if (verdict == Verdict::Continues) {
      steps.begin(first);
    } else {
      steps = steps.after(first);
    }
    if (rows && verdict != Verdict::Stray) steps.has_rows();
  }
  return told;
}

}  // namespace

CATCH_TEST_CASE("a cache that grows by the queries makes one answer") {
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 1, 6}, {0, true, 1, 7}}) == "CCC");
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 3, 8}, {0, true, 1, 9}}) == "CCC");                    // in chunks
  CATCH_CHECK(story({{0, false, 5, 5}, {0, false, 1, 6}, {0, false, 1, 7}}) == "CCC");                 // a frozen file
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 1, 6}, {0, true, 5, 5}, {0, true, 1, 6}}) == "CCBC");  // two answers
  CATCH_CHECK(story({{0, true, 9, 9}, {0, true, 9, 9}, {0, true, 9, 9}}) == "CBB");                    // whole answers
  CATCH_CHECK(story({{0, true, 9, 9}, {0, true, 4, 4}, {0, true, 30, 30}}) == "CBB");
}

CATCH_TEST_CASE("an encoder's call belongs to the answer after it, and the next encoder's to the next") {
  AnswerSteps steps;
  const FirstAttention encoder{3, true, 60, 60}, prompt{0, true, 4, 4}, token{0, true, 1, 5};
  for (const FirstAttention& first : {encoder, prompt, token}) {
    CATCH_CHECK(steps.judge(first) == Verdict::Continues);
    steps.begin(first);
    if (first.site == 0) steps.has_rows();
  }
  CATCH_CHECK(steps.judge(encoder) == Verdict::Begins);
}

CATCH_TEST_CASE("steps whose answer cannot be told are stray") {
  CATCH_CHECK(story({{0, true, 5, 64}, {0, true, 1, 64}, {0, true, 1, 64}}) == "CSS");                  // a fixed cache
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 1, 6}, {0, true, 1, 6}, {0, true, 1, 6}}) == "CCSS");   // a window
  CATCH_CHECK(story({{0, true, 1, 6}}) == "S");                                                         // no beginning
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 9, 9}, {0, true, 1, 6}, {0, true, 1, 10}}) == "CBSS");  // two in turns
}

CATCH_TEST_CASE("an answer that is computed anew for every token is known by its third") {
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 6, 6}, {0, true, 7, 7}, {0, true, 8, 8}}) == "CBSS");
  CATCH_CHECK(story({{0, true, 5, 5}, {0, true, 6, 6}, {0, true, 9, 9}, {0, true, 10, 10}, {0, true, 2, 2}}) ==
              "CBBBB");
}

CATCH_TEST_CASE("cross-attention alone and single queries over a fixed row are calls of their own") {
  CATCH_CHECK(story({{2, false, 0, 0}, {2, false, 0, 0}}) == "CB");
  CATCH_CHECK(story({{0, false, 1, 50}, {0, false, 1, 50}}) == "CB");  // pooling, in a frozen file
  CATCH_CHECK(story({{0, true, 1, 1}, {0, true, 1, 1}}) == "CB");
}

CATCH_TEST_CASE("an answer is over when no call came for two seconds and eight times its longest pause") {
  using std::chrono::seconds;
  const AnswerCalls::Clock::time_point begin{};
  AnswerCalls calls(0, false);
  CATCH_CHECK_FALSE(calls.end_if_idle(begin + seconds(100)));  // it runs
  calls.pause(begin);
  CATCH_CHECK_FALSE(calls.end_if_idle(begin + seconds(1)));
  CATCH_CHECK(calls.resume(begin + seconds(1)));
  CATCH_CHECK_FALSE(calls.resume(begin + seconds(1)));
  calls.pause(begin + seconds(10));
  CATCH_CHECK_FALSE(calls.end_if_idle(begin + seconds(17)));
  CATCH_CHECK(calls.end_if_idle(begin + seconds(18)));
  CATCH_CHECK_FALSE(calls.end_if_idle(begin + seconds(19)));  // once
  CATCH_CHECK_FALSE(calls.resume(begin + seconds(19)));
}
