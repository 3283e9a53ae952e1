// SPDX-License-Identifier: MIT
// Huffman codes of deflate blocks.
#pragma once

#include <array>
#include <cstdint>

namespace gaze {

/// Literals, the end of a block, and the lengths of repetitions.
constexpr int kSymbols = 286;
constexpr int kLongestCode = 12;  ///< four literals fit beside 7 waiting bits

struct Code {
  uint16_t bits = 0;  ///< first bit lowest
  uint16_t length = 0;
};
using Codes = std::array<Code, kSymbols>;

/// Lengths of a Huffman code for all symbols, none above kLongestCode.
std::array<int, kSymbols> code_lengths(const std::array<uint32_t, kSymbols>& counts);

/// The codes that deflate gives to these lengths.
Codes make_codes(const std::array<int, kSymbols>& lengths);

}  // namespace gaze
