// SPDX-License-Identifier: MIT
#include "codecs/png/huffman.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gaze {

std::array<int, kSymbols> code_lengths(const std::array<uint32_t, kSymbols>& counts) {
  // Two queues, each in order: the symbols, and behind them the nodes that join two.
  std::array<std::pair<uint32_t, int>, kSymbols> sorted;  // rarest first
  // A rarer symbol's code would be too long, and cutting it short would lengthen others more than this does.
  const uint32_t least = std::accumulate(counts.begin(), counts.end(), uint32_t{0}) >> kLongestCode;
  for (int symbol = 0; symbol < kSymbols; ++symbol) sorted[symbol] = {std::max(counts[symbol], least), symbol};
  std::sort(sorted.begin(), sorted.end());
  std::array<uint32_t, 2 * kSymbols> weight{};
  std::array<int, 2 * kSymbols> parent{};
  for (int i = 0; i < kSymbols; ++i) weight[i] = sorted[i].first;
  int leaf = 0, joined = kSymbols, next = kSymbols;
  const auto take = [&] {
    return leaf < kSymbols && (joined == next || weight[leaf] <= weight[joined]) ? leaf++ : joined++;
  };
  for (; next < 2 * kSymbols - 1; ++next) {
    const int a = take(), b = take();
    weight[next] = weight[a] + weight[b];
    parent[a] = parent[b] = next;
  }
  std::array<int, 2 * kSymbols> depth{};
  std::array<int, kLongestCode + 1> leaves{};
  int space = 0;  // taken by the codes, of 1 << kLongestCode
  for (int node = 2 * kSymbols - 3; node >= 0; --node) {
    depth[node] = depth[parent[node]] + 1;
    if (node >= kSymbols) continue;
    const int length = std::min(depth[node], kLongestCode);
    ++leaves[length];
    space += 1 << (kLongestCode - length);
  }
  // Too much for codes cut short: a longest one goes to where a shorter one splits in two, until all fit.
  for (; space > 1 << kLongestCode; --space) {
    int length = kLongestCode - 1;
    while (leaves[length] == 0) --length;
    --leaves[length];
    leaves[length + 1] += 2;
    --leaves[kLongestCode];
  }
  std::array<int, kSymbols> lengths{};
  int rarest = 0;
  for (int length = kLongestCode; length > 0; --length) {
    for (int i = 0; i < leaves[length]; ++i) lengths[sorted[rarest++].second] = length;
  }
  return lengths;
}

Codes make_codes(const std::array<int, kSymbols>& lengths) {
  std::array<int, kLongestCode + 2> next{};
  for (const int length : lengths) ++next[length + 1];
  next[1] = 0;
  for (int length = 2; length <= kLongestCode; ++length) next[length] = (next[length] + next[length - 1]) * 2;
  Codes codes;
  for (int symbol = 0; symbol < kSymbols; ++symbol) {
    const int length = lengths[symbol];
    int value = next[length]++, reversed = 0;
    for (int bit = 0; bit < length; ++bit, value >>= 1) reversed = reversed << 1 | (value & 1);
    codes[symbol] = {static_cast<uint16_t>(reversed), static_cast<uint16_t>(length)};
  }
  return codes;
}

}  // namespace gaze
