// SPDX-License-Identifier: MIT
#include "maps/content_words.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/utf8.hpp"
#include "tokens/characters.hpp"

namespace gaze {
namespace {

// Sorted. Left out are those that are other words as often: "can", "may", "us", "will".
constexpr std::array<std::string_view, 65> kFunctionWords = {
    "a",     "am",     "an",   "and",  "are",  "as",   "at",    "be",    "because", "been", "being", "but",   "by",
    "could", "did",    "do",   "does", "for",  "from", "had",   "has",   "have",    "he",   "her",   "his",   "i",
    "if",    "in",     "into", "is",   "it",   "its",  "me",    "my",    "of",      "on",   "onto",  "or",    "our",
    "she",   "should", "so",   "some", "than", "that", "the",   "their", "them",    "then", "there", "these", "they",
    "this",  "those",  "to",   "was",  "we",   "were", "which", "while", "who",     "with", "would", "you",   "your"};

// What is left of "it's" and "they're" where the word ends at the apostrophe, as it does for many tokenizers.
constexpr std::array<std::string_view, 6> kEndings = {"d", "ll", "m", "re", "s", "ve"};

constexpr uint32_t kCurlyApostrophe = 0x2019;

template <size_t N>
bool holds(const std::array<std::string_view, N>& sorted, std::string_view word) {
  return std::binary_search(sorted.begin(), sorted.end(), word);
}

struct Letters {
  std::string text;         ///< in lower case, apostrophes as '
  bool apostrophe = false;  ///< the word begins with one
};

// The word from its first character to its last that is said, or nothing.
Letters said_letters(std::string_view word) {
  Letters letters;
  size_t end = 0;
  for (size_t at = 0; at < word.size();) {
    const Utf8 character = decode_utf8(word.substr(at));
    const bool apostrophe = character.code == '\'' || character.code == kCurlyApostrophe;
    const bool said = !white(character.code) && !punctuation(character.code);
    if (said || !letters.text.empty()) {
      if (apostrophe) {
        letters.text += '\'';
      } else {
        for (const char byte : word.substr(at, character.length))
          letters.text += byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
      }
    } else {
      letters.apostrophe = apostrophe;
    }
    if (said) end = letters.text.size();
    at += character.length;
  }
  letters.text.resize(end);
  return letters;
}

}  // namespace

bool is_content_word(const std::string& text) {
  const Letters letters = said_letters(text);
  const std::string_view word = letters.text;
  if (word.empty() || holds(kFunctionWords, word)) return false;
  if (letters.apostrophe) return !holds(kEndings, word);
  const size_t apostrophe = word.find('\'');
  if (apostrophe == std::string_view::npos) return true;
  return !(holds(kFunctionWords, word.substr(0, apostrophe)) && holds(kEndings, word.substr(apostrophe + 1)));
}

bool has_content(const Word& word) {
  return word.content ? *word.content : word.text.empty() || is_content_word(word.text);
}

bool draws_content(const Word& word) { return !word.text.empty() && has_content(word); }

}  // namespace gaze
