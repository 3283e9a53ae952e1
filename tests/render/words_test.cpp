// SPDX-License-Identifier: MIT
#include <gaze/render/words.hpp>

#include "records.hpp"

namespace {

// "text@first+count" of every word.
std::vector<std::string> merged(const std::vector<std::string>& labels) {
  std::vector<std::string> out;
  for (const gaze::Word& word : gaze::merge_words(labels)) {
    out.push_back(word.text + "@" + std::to_string(word.first) + "+" + std::to_string(word.count));
  }
  return out;
}

using List = std::vector<std::string>;

}  // namespace

CATCH_TEST_CASE("words: without marks every token is a word") {
  CATCH_CHECK(merged({"red", "five", "red"}) == List{"red@0+1", "five@1+1", "red@2+1"});
}

CATCH_TEST_CASE("words: SentencePiece and byte-level marks begin a word") {
  CATCH_CHECK(merged({"\xE2\x96\x81golden", "\xE2\x96\x81re", "trie", "ver", "."}) ==
              List{"golden@0+1", "retriever.@1+4"});
  CATCH_CHECK(merged({"A", "\xC4\xA0gold", "en"}) == List{"A@0+1", "golden@1+2"});
  CATCH_CHECK(merged({" a", " re", "d"}) == List{"a@0+1", "red@1+2"});
}

CATCH_TEST_CASE("words: a lone mark belongs to what follows, or vanishes") {
  CATCH_CHECK(merged({"\xE2\x96\x81", "dog", "\xE2\x96\x81",
                      "\xE2\x96\x81"
                      "cat"}) == List{"dog@0+2", "cat@3+1"});
}

CATCH_TEST_CASE("words: WordPiece continues with ##, which is text where words are marked at their beginning") {
  CATCH_CHECK(merged({"re", "##trie", "##ver", "dog"}) == List{"retriever@0+3", "dog@3+1"});
  CATCH_CHECK(merged({"##ver"}) == List{"ver@0+1"});
  CATCH_CHECK(merged({" a", " ##b", "##c"}) == List{"a@0+1", "##b##c@1+2"});
}

CATCH_TEST_CASE("words: special and empty tokens form no word and end one") {
  CATCH_CHECK(merged({"<bos>", " gold", "en", "<|im_end|>", "er", "", "x"}) == List{"golden@1+2", "er@4+1", "x@6+1"});
  CATCH_CHECK(merged({"<", ">", "<>"}) == List{"<@0+1", ">@1+1", "<>@2+1"});
  CATCH_CHECK(merged({"<eos>", ""}).empty());
  CATCH_CHECK(merged({}).empty());
}
