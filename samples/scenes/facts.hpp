// SPDX-License-Identifier: MIT
// The one composer of what the reader reads: short passages about made-up buildings and people, questions about them,
// and what is true. Which passage holds an answer is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::scenes {

inline constexpr const char* kNotStated = "not stated";

struct ByteRange {
  int begin = 0;
  int end = 0;  // not part of it
};

struct FactsQuestion {
  std::string text;    // "Who built Belmoro?"
  std::string answer;  // "Tamla Belril"; kNotStated where no passage holds it
  int passage = -1;    // that holds the fact; -1: none
  ByteRange sentence;  // of that passage, which states the fact
  ByteRange value;     // the answer's words in it
};

struct FactsCase {
  std::vector<std::string> passages;  // three to six, each about one entity
  std::vector<FactsQuestion> questions;
};

// Same arguments, same case, and fewer questions are the first of more. Names of held-out cases are put together of
// the same syllables as those of the others, but no other case has them. ASCII throughout. Safe to call from several
// threads. relations_of_case: what passages choose from, so that several state the same of different entities; with one
// they have a single sentence, and only the entity tells them apart.
FactsCase compose_facts(std::uint64_t seed, bool held_out, int questions = 1, int relations_of_case = 4);

// What the reader's tokenizer needs: words, beginnings of names and years, and what may follow within a word, marked
// by ##. Where one may stand for the other no piece begins another, so that the longest match is the only one.
std::vector<std::string> facts_pieces();

}  // namespace gaze::scenes
