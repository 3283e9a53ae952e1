// SPDX-License-Identifier: MIT
#include "word_pairs.hpp"

#include <algorithm>

namespace gaze::cli {
namespace {

constexpr size_t kMostCompared = 16'000'000;  // pairs of words; beyond, place alone counts

using Texts = std::vector<std::string>;

/// Fellows by place, then those that have none.
void pair_by_place(int64_t a, int64_t a_end, int64_t b, int64_t b_end, std::vector<WordPair>& pairs) {
  while (a < a_end || b < b_end) pairs.push_back({a < a_end ? a++ : -1, b < b_end ? b++ : -1});
}

/// lengths[i * (m + 1) + j]: of the longest common subsequence of a from i on and b from j on.
std::vector<uint32_t> common_lengths(const Texts& a, const Texts& b, size_t from, size_t n, size_t m) {
  std::vector<uint32_t> lengths((n + 1) * (m + 1));
  for (size_t i = n; i-- > 0;) {
    for (size_t j = m; j-- > 0;) {
      const size_t at = i * (m + 1) + j;
      lengths[at] =
          a[from + i] == b[from + j] ? lengths[at + m + 2] + 1 : std::max(lengths[at + 1], lengths[at + m + 1]);
    }
  }
  return lengths;
}

}  // namespace

std::vector<WordPair> pair_words(const Texts& a, const Texts& b) {
  size_t from = 0, end_a = a.size(), end_b = b.size();
  std::vector<WordPair> pairs;
  for (; from < end_a && from < end_b && a[from] == b[from]; ++from)
    pairs.push_back({static_cast<int64_t>(from), static_cast<int64_t>(from)});
  while (end_a > from && end_b > from && a[end_a - 1] == b[end_b - 1]) --end_a, --end_b;
  const size_t n = end_a - from, m = end_b - from;
  size_t i = 0, j = 0, gap_i = 0, gap_j = 0;
  const auto close_gap = [&] {
    const auto place = [from](size_t index) { return static_cast<int64_t>(from + index); };
    pair_by_place(place(gap_i), place(i), place(gap_j), place(j), pairs);
  };
  if (n > 0 && m > 0 && n <= kMostCompared / m) {
    const std::vector<uint32_t> lengths = common_lengths(a, b, from, n, m);
    while (i < n && j < m) {
      if (a[from + i] == b[from + j]) {
        close_gap();
        pairs.push_back({static_cast<int64_t>(from + i++), static_cast<int64_t>(from + j++)});
        gap_i = i;
        gap_j = j;
      } else if (lengths[(i + 1) * (m + 1) + j] >= lengths[i * (m + 1) + j + 1]) {
        ++i;
      } else {
        ++j;
      }
    }
  }
  i = n;
  j = m;
  close_gap();
  for (; end_a < a.size(); ++end_a, ++end_b)
    pairs.push_back({static_cast<int64_t>(end_a), static_cast<int64_t>(end_b)});
  return pairs;
}

}  // namespace gaze::cli
