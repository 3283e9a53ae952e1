// SPDX-License-Identifier: MIT
#include "maps/grounding.hpp"

#include <gaze/ops/reduce.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

namespace gaze {
namespace {

constexpr std::array<const char*, 4> kNames = {"cannot say", "not grounded", "weak", "grounded"};

struct Limits {
  double weak, grounded;
};

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

/// @param whose  "This word's" or "The mean of the words'"
Grounding judged(double focus, const Limits& limits, const std::string& whose) {
  const std::string is = whose + " focus of " + figure(focus);
  if (focus >= limits.grounded) {
    return {Verdict::Grounded, focus,
            is + " is at least " + figure(limits.grounded) + ", as on inputs that have something to show."};
  }
  if (focus >= limits.weak) {
    return {Verdict::Weak, focus,
            is + " lies between " + figure(limits.weak) + " and " + figure(limits.grounded) +
                ", where inputs with and without content are hard to tell apart."};
  }
  return {Verdict::NotGrounded, focus,
          is + " is below " + figure(limits.weak) + ", as on inputs that have nothing to show."};
}

Grounding cannot_say(double score, const char* why) { return {Verdict::CannotSay, score, why}; }

constexpr const char* kNoLimits =
    "No limits were measured for this model with these heads and layers: gaze ground measures them.";

Grounding of_word(const std::optional<GroundingLimits>& limits, const WordFacts& word) {
  const double focus = word.sharpest.focus;
  if ((word.flags & ops::kRowFullyMasked) != 0) return cannot_say(focus, "One of its tokens saw no key.");
  if (!word.content) return cannot_say(focus, "The word holds the sentence together and names nothing.");
  if (!limits) return cannot_say(focus, kNoLimits);
  return judged(focus, {limits->word_weak, limits->word_grounded}, "This word's");
}

Grounding of_answer(const std::optional<GroundingLimits>& limits, const std::vector<WordFacts>& words, double focus) {
  if (words.empty()) return cannot_say(std::numeric_limits<double>::quiet_NaN(), "The answer has no words.");
  if (std::none_of(words.begin(), words.end(), [](const WordFacts& word) { return word.content; }))
    return cannot_say(focus, "No word of the answer names anything.");
  const bool blind = std::any_of(words.begin(), words.end(), [](const WordFacts& word) {
    return word.content && (word.flags & ops::kRowFullyMasked) != 0;
  });
  if (blind) return cannot_say(focus, "One of its tokens saw no key.");
  if (!limits) return cannot_say(focus, kNoLimits);
  return judged(focus, {limits->answer_weak, limits->answer_grounded}, "The mean of its words'");
}

}  // namespace

const char* name(Verdict verdict) noexcept { return kNames[static_cast<size_t>(verdict)]; }

void judge(const std::optional<GroundingLimits>& limits, std::vector<WordFacts>& words, WordFacts& summary) {
  for (WordFacts& word : words) word.grounding = of_word(limits, word);
  summary.grounding = of_answer(limits, words, summary.sharpest.focus);
}

bool is_flagged(const WordFacts& summary, const std::vector<WordFacts>& words) {
  if (summary.flags != 0) return true;
  const Verdict verdict = summary.grounding.verdict;
  if (verdict != Verdict::CannotSay) return verdict != Verdict::Grounded;
  int64_t content = 0, diffuse = 0;
  for (const WordFacts& word : words) {
    content += word.content ? 1 : 0;
    diffuse += word.content && word.diffuse ? 1 : 0;
  }
  return 2 * diffuse > content;
}

}  // namespace gaze
