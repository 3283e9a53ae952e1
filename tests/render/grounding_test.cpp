// SPDX-License-Identifier: MIT
#include "maps/grounding.hpp"

#include <gaze/ops/reduce.hpp>
#include <gaze/render/overlay.hpp>

#include <cmath>
#include <nlohmann/json.hpp>

#include "records.hpp"

namespace {

using gaze::GroundingLimits;
using gaze::Verdict;
using gaze::WordFacts;

const GroundingLimits kLimits = {.word_weak = 0.2, .word_grounded = 0.4, .answer_weak = 0.25, .answer_grounded = 0.5};

WordFacts word_of(double focus, bool content = true, int32_t flags = 0) {
  WordFacts facts;
  facts.word.text = "w";
  facts.content = content;
  facts.flags = flags;
  facts.sharpest = {.token = 0, .max_lift = 60 * focus, .entropy = 1 - focus, .mass = 1, .focus = focus};
  return facts;
}

Verdict verdict_of(const WordFacts& word, const std::optional<GroundingLimits>& limits = kLimits) {
  std::vector<WordFacts> words = {word};
  WordFacts summary;
  summary.sharpest.focus = word.sharpest.focus;
  gaze::judge(limits, words, summary);
  CATCH_CHECK_FALSE(words[0].grounding.why.empty());
  CATCH_CHECK(words[0].grounding.why.back() == '.');
  CATCH_CHECK(words[0].grounding.score == word.sharpest.focus);
  return words[0].grounding.verdict;
}

WordFacts judged(std::vector<WordFacts> words, double mean, const std::optional<GroundingLimits>& limits = kLimits) {
  WordFacts summary;
  summary.sharpest.focus = mean;
  gaze::judge(limits, words, summary);
  return summary;
}

}  // namespace

CATCH_TEST_CASE("grounding: a word's limits belong to the better verdict") {
  const double below = std::nextafter(0.2, 0), under = std::nextafter(0.4, 0);
  CATCH_CHECK(verdict_of(word_of(0)) == Verdict::NotGrounded);
  CATCH_CHECK(verdict_of(word_of(below)) == Verdict::NotGrounded);
  CATCH_CHECK(verdict_of(word_of(0.2)) == Verdict::Weak);
  CATCH_CHECK(verdict_of(word_of(under)) == Verdict::Weak);
  CATCH_CHECK(verdict_of(word_of(0.4)) == Verdict::Grounded);
  CATCH_CHECK(verdict_of(word_of(1)) == Verdict::Grounded);
}

CATCH_TEST_CASE("grounding: limits that are one leave nothing weak") {
  const GroundingLimits one = {0.3, 0.3, 0.3, 0.3};
  CATCH_CHECK(verdict_of(word_of(std::nextafter(0.3, 0)), one) == Verdict::NotGrounded);
  CATCH_CHECK(verdict_of(word_of(0.3), one) == Verdict::Grounded);
}

CATCH_TEST_CASE("grounding: nothing is said without limits, of words without content, and of tokens that saw no key") {
  CATCH_CHECK(verdict_of(word_of(0.9), std::nullopt) == Verdict::CannotSay);
  CATCH_CHECK(verdict_of(word_of(0.9, false)) == Verdict::CannotSay);
  CATCH_CHECK(verdict_of(word_of(0.9, true, gaze::ops::kRowFullyMasked)) == Verdict::CannotSay);
  CATCH_CHECK(verdict_of(word_of(0.9, true, gaze::ops::kRowGathered)) == Verdict::Grounded);
}

CATCH_TEST_CASE("grounding: an answer is judged by its own limits and the mean of its words") {
  const std::vector<WordFacts> words = {word_of(0.9), word_of(0.1)};
  CATCH_CHECK(judged(words, 0.24).grounding.verdict == Verdict::NotGrounded);
  CATCH_CHECK(judged(words, 0.25).grounding.verdict == Verdict::Weak);
  CATCH_CHECK(judged(words, 0.5).grounding.verdict == Verdict::Grounded);
  CATCH_CHECK(judged(words, 0.5).grounding.score == 0.5);
  CATCH_CHECK(judged(words, 0.5, std::nullopt).grounding.verdict == Verdict::CannotSay);
}

CATCH_TEST_CASE("grounding: of an answer without words, or whose words name nothing, nothing is said") {
  CATCH_CHECK(judged({}, 0).grounding.verdict == Verdict::CannotSay);
  CATCH_CHECK(std::isnan(judged({}, 0).grounding.score));
  CATCH_CHECK(judged({word_of(0.9, false)}, 0.9).grounding.verdict == Verdict::CannotSay);
  // A word of function that saw no key changes nothing; one of content does.
  const int32_t masked = gaze::ops::kRowFullyMasked;
  CATCH_CHECK(judged({word_of(0.9), word_of(0, false, masked)}, 0.9).grounding.verdict == Verdict::Grounded);
  CATCH_CHECK(judged({word_of(0.9), word_of(0, true, masked)}, 0.9).grounding.verdict == Verdict::CannotSay);
}

CATCH_TEST_CASE("grounding: verdicts have the names of the bundle") {
  CATCH_CHECK(gaze::name(Verdict::Grounded) == std::string("grounded"));
  CATCH_CHECK(gaze::name(Verdict::Weak) == std::string("weak"));
  CATCH_CHECK(gaze::name(Verdict::NotGrounded) == std::string("not grounded"));
  CATCH_CHECK(gaze::name(Verdict::CannotSay) == std::string("cannot say"));
}

CATCH_TEST_CASE("grounding: a record with limits is judged as it is drawn") {
  gaze::AttentionRecord record = gaze::test::planted(6, 10, {17, -1, 3});
  record.labels = {" red", " seven", " the"};
  CATCH_CHECK(gaze::compose(record).summary.grounding.verdict == Verdict::CannotSay);
  record.maps[0].grounding = kLimits;
  const gaze::Composition composition = gaze::compose(record);
  CATCH_CHECK(composition.words[0].grounding.verdict == Verdict::Grounded);
  CATCH_CHECK(composition.words[1].grounding.verdict == Verdict::NotGrounded);
  CATCH_CHECK(composition.words[2].grounding.verdict == Verdict::CannotSay);
  const double mean = (composition.words[0].sharpest.focus + composition.words[1].sharpest.focus) / 2;
  CATCH_CHECK(composition.summary.grounding.score == Approx(mean));
  CATCH_CHECK(composition.summary.grounding.verdict == Verdict::Weak);
}
