// SPDX-License-Identifier: MIT
// A vocabulary's file is refused with a gaze::Error or has texts, of which any answer makes words: of every token that
// is text once, in order.
#include <gaze/render/status.hpp>
#include <gaze/render/words.hpp>

#include <algorithm>
#include <vector>

#include "fuzz.hpp"
#include "tokens/pieces.hpp"
#include "tokens/vocabulary.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  const char* const names[] = {"/nowhere/v.json", "/nowhere/v.txt", "/nowhere/v.model", "/nowhere/v.tiktoken"};
  const char* const name = names[bytes.take<uint8_t>() % 4];
  std::vector<uint8_t> answer(static_cast<size_t>(bytes.between(0, 24)));
  for (uint8_t& id : answer) id = bytes.take<uint8_t>();
  gaze::Vocabulary vocabulary;
  try {
    vocabulary = gaze::parse_vocabulary(bytes.rest(), name);
  } catch (const gaze::Error& error) {
    GAZE_HOLDS(std::strlen(error.what()) > 0 && std::strlen(error.what()) < 4096);
    return 0;
  }
  GAZE_HOLDS(!vocabulary.texts.empty());
  std::vector<std::string> labels;
  for (const uint8_t id : answer) labels.push_back(vocabulary.texts[id % vocabulary.texts.size()]);
  const std::vector<gaze::Piece> pieces = gaze::pieces_of(labels, &vocabulary.spelling);
  GAZE_HOLDS(pieces.size() == labels.size());
  std::vector<int> taken(labels.size());
  int64_t last = 0;
  for (const gaze::Word& word : gaze::merge_words(labels, &vocabulary.spelling)) {
    GAZE_HOLDS(word.first >= last && word.count >= 1 && !word.text.empty());
    last = word.first + word.count;
    GAZE_HOLDS(last <= static_cast<int64_t>(labels.size()));
    for (int64_t i = word.first; i < last; ++i) {
      GAZE_HOLDS(!pieces[static_cast<size_t>(i)].special);
      ++taken[static_cast<size_t>(i)];
    }
  }
  // None is lost beside a word: white space alone has no word to belong to.
  for (size_t i = 1; i < pieces.size(); ++i) {
    if (!pieces[i].special && !pieces[i - 1].special) GAZE_HOLDS(taken[i] == taken[i - 1]);
  }
  return 0;
}
