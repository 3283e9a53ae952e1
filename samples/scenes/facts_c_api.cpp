// SPDX-License-Identifier: MIT
// The composer of facts for Python (ctypes): plain arrays in and out, errors as return codes.
#include <cstring>

#include "facts.hpp"

namespace {

constexpr std::size_t kPassagesBytes = 2048;
constexpr std::size_t kQuestionBytes = 128;
constexpr std::size_t kAnswerBytes = 48;

void put(char*& to, const std::string& text, std::size_t bytes) {
  to[text.copy(to, bytes - 1)] = 0;
  to += bytes;
}

}  // namespace

extern "C" {

// Cases first_seed .. first_seed + count - 1. passages: [count, 2048] bytes, one passage a line; question_texts:
// [count, questions, 128] bytes; answers: [count, questions, 48] bytes; all ended by zeros. holders: [count, questions,
// 5]: passage, begin and end of the sentence and of the value in it. Returns 0, or 1 on failure.
int gaze_facts_compose(unsigned long long first_seed, int count, int held_out, int questions, int relations,
                       char* passages, char* question_texts, char* answers, int* holders) {
  try {
    for (int i = 0; i < count; ++i) {
      const gaze::scenes::FactsCase composed = gaze::scenes::compose_facts(
          first_seed + static_cast<unsigned long long>(i), held_out != 0, questions, relations);
      std::string text;
      for (const std::string& passage : composed.passages) text += (text.empty() ? "" : "\n") + passage;
      put(passages, text, kPassagesBytes);
      for (const gaze::scenes::FactsQuestion& question : composed.questions) {
        put(question_texts, question.text, kQuestionBytes);
        put(answers, question.answer, kAnswerBytes);
        for (const int number : {question.passage, question.sentence.begin, question.sentence.end, question.value.begin,
                                 question.value.end}) {
          *holders++ = number;
        }
      }
    }
    return 0;
  } catch (...) {
    return 1;
  }
}

// One piece a line, ended by a zero. Returns 0, or 1 when bytes are too few.
int gaze_facts_pieces(char* pieces, int bytes) {
  try {
    std::string text;
    for (const std::string& piece : gaze::scenes::facts_pieces()) text += piece + "\n";
    if (text.size() >= static_cast<std::size_t>(bytes)) return 1;
    put(pieces, text, static_cast<std::size_t>(bytes));
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // extern "C"
