// SPDX-License-Identifier: MIT
// Which word of one answer is which of another.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaze::cli {

struct WordPair {
  int64_t a = -1, b = -1;  ///< indices; -1: the word has no fellow
};

/// In order. The same words are fellows, as many as can be (the longest common subsequence); between them the words
/// that stand in each other's place are.
std::vector<WordPair> pair_words(const std::vector<std::string>& a, const std::vector<std::string>& b);

}  // namespace gaze::cli
