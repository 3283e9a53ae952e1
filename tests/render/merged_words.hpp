// SPDX-License-Identifier: MIT
// Words as texts that can be compared at a glance.
#pragma once

#include <gaze/render/words.hpp>

#include <string>
#include <vector>

namespace gaze::test {

using List = std::vector<std::string>;

/// "text@first+count" of every word.
inline List merged(const List& labels, const TokenSpelling* spelling = nullptr) {
  List out;
  for (const Word& word : merge_words(labels, spelling))
    out.push_back(word.text + "@" + std::to_string(word.first) + "+" + std::to_string(word.count));
  return out;
}

/// The texts of the words with bars between them.
inline std::string barred(const List& labels, const TokenSpelling* spelling = nullptr) {
  std::string out;
  for (const Word& word : merge_words(labels, spelling)) out += (out.empty() ? "" : "|") + word.text;
  return out;
}

inline WordRule rule_of(const List& labels) {
  WordRule rule;
  (void)merge_words(labels, nullptr, &rule);
  return rule;
}

/// Every character of a text a token.
inline List characters_of(const std::string& text) {
  List tokens;
  for (const char byte : text) {
    if (tokens.empty() || (byte & 0xC0) != 0x80) tokens.emplace_back();
    tokens.back() += byte;
  }
  return tokens;
}

}  // namespace gaze::test
