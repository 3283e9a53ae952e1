// SPDX-License-Identifier: MIT
#include "maps/content_words.hpp"

#include <string>
#include <vector>

#include "../support/test.hpp"

namespace {

using gaze::is_content_word;

std::vector<std::string> said_to_be(bool content, const std::vector<std::string>& words) {
  std::vector<std::string> wrong;
  for (const std::string& word : words) {
    if (is_content_word(word) != content) wrong.push_back(word);
  }
  return wrong;
}

}  // namespace

CATCH_TEST_CASE("content words: what only holds a sentence together is none, in any case and with its punctuation") {
  CATCH_CHECK(said_to_be(false, {"a", "an", "the", "of", "with", "and", "is", "are", "there", "it", "in", "on", "to",
                                 "your", "would", "by", "which", "who", "i"})
                  .empty());
  CATCH_CHECK(
      said_to_be(false, {"The", "THE", "the,", "(a)", "\"of\"", "And:", "\xE2\x80\x9Cwith\xE2\x80\x9D"}).empty());
}

CATCH_TEST_CASE("content words: what is named, counted, placed or denied is one") {
  CATCH_CHECK(said_to_be(true, {"red", "triangle", "two", "7", "3.5", "$5", "above", "left", "under", "not", "no",
                                "yes", "None", "wearing", "theatre", "island", "offer", "isle", "us"})
                  .empty());
  CATCH_CHECK(said_to_be(true, {"red.", "(triangle)", "\"dog\"", "o'clock", "dog's", "x-ray", "the-dog"}).empty());
}

CATCH_TEST_CASE("content words: white space and punctuation are none, in any script") {
  CATCH_CHECK(said_to_be(false, {"", " ", "\n\t", ".", "...", ",", "?!", "\"", "()", "-", "\xE3\x80\x82",
                                 "\xE2\x80\x94", "\xC2\xA0", "\xD8\x9F", "'"})
                  .empty());
}

CATCH_TEST_CASE("content words: every word of another script is one, and so are signs and bytes that are no text") {
  CATCH_CHECK(said_to_be(true, {"\xE8\xB5\xA4\xE3\x81\x84", "\xD0\xB8", "\xD9\x88", "\xF0\x9F\x90\x95", "\xC3\xA0",
                                "\xFF", "\x80\x80", "h\xC3\xA9", "\xC3\x89t\xC3\xA9"})
                  .empty());
}

CATCH_TEST_CASE("content words: a contraction of function words is none, whole or in parts") {
  CATCH_CHECK(
      said_to_be(false, {"it's", "It\xE2\x80\x99s", "they're", "I'm", "we'd", "'s", "\xE2\x80\x99re", "'ll", "'ve,"})
          .empty());
  CATCH_CHECK(said_to_be(true, {"s", "re", "'cat", "'scat", "john's", "it'sy", "'90s"}).empty());
}

CATCH_TEST_CASE("content words: the list is sorted, so that each of its words is found") {
  const std::vector<std::string> words = {
      "am",   "as",    "at",   "be",   "because", "been",   "being", "but",  "could", "did",  "do",    "does",
      "for",  "from",  "had",  "has",  "have",    "he",     "her",   "his",  "if",    "into", "its",   "me",
      "my",   "onto",  "or",   "our",  "she",     "should", "so",    "some", "than",  "that", "their", "them",
      "then", "these", "they", "this", "those",   "was",    "we",    "were", "while", "you"};
  CATCH_CHECK(said_to_be(false, words).empty());
}
