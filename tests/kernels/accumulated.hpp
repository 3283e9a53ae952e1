// SPDX-License-Identifier: MIT
// Rows of weights for the tests of the CUDA kernels, and what they are accumulated into.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "guarded.hpp"
#include "kernels.hpp"
#include "support/close.hpp"
#include "support/test.hpp"

namespace gaze::test {

using namespace gaze::kernels;

constexpr Tolerance kSums{2e-6, 1e-5};

/// An accumulator of a few tokens between guard zones, whose map is some of the columns of a wider one.
struct Accumulated {
  static constexpr std::size_t kWider = 3;
  Accumulated(std::size_t tokens, std::size_t cells)
      : map(tokens * (cells + kWider), 0.25f),
        weight(tokens, 1.5f),
        mass(tokens),
        visible(tokens),
        calls(tokens),
        flags(tokens),
        rows(tokens),
        cells(static_cast<std::int64_t>(cells)) {}
  AccumulatorRows to() {
    return {map.data(),     weight.data(), mass.data(),
            visible.data(), calls.data(),  flags.data(),
            rows.data(),    cells,         cells + static_cast<std::int64_t>(kWider)};
  }
  bool intact() {
    return map.intact() && weight.intact() && mass.intact() && visible.intact() && calls.intact() && flags.intact() &&
           rows.intact();
  }
  Output<float> map, weight, mass, visible;
  Output<std::int32_t> calls, flags, rows;
  std::int64_t cells;
};

inline void compare(Accumulated& got, Accumulated& want) {
  CATCH_CHECK(got.intact());
  CATCH_CHECK(differs(got.map.values(), want.map.values(), kSums) == "");
  CATCH_CHECK(differs(got.weight.values(), want.weight.values(), kSums) == "");
  CATCH_CHECK(differs(got.mass.values(), want.mass.values(), kSums) == "");
  CATCH_CHECK(differs(got.visible.values(), want.visible.values()) == "");
  CATCH_CHECK(differs(got.calls.values(), want.calls.values()) == "");
  CATCH_CHECK(differs(got.flags.values(), want.flags.values()) == "");
  CATCH_CHECK(differs(got.rows.values(), want.rows.values()) == "");
}

constexpr std::size_t size_of(DType dtype) { return dtype == DType::F32 ? 4 : dtype == DType::Bool ? 1 : 2; }

/// Values of a dtype in memory; `step` elements apart.
inline std::vector<std::uint8_t> stored(const std::vector<float>& values, DType dtype, std::size_t step = 1) {
  const std::size_t size = size_of(dtype);
  std::vector<std::uint8_t> bytes(values.size() * step * size + 16, 0xff);  // NaN between them
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    if (dtype == DType::BF16) bits >>= 16;
    if (dtype == DType::F16) {
      const _Float16 half = static_cast<_Float16>(values[i]);
      std::memcpy(&bits, &half, 2);
    }
    if (dtype == DType::Bool) bits = values[i] != 0;
    std::memcpy(&bytes[i * step * size], &bits, size);
  }
  return bytes;
}

constexpr HeadReduce kHeads[] = {HeadReduce::Mean,     HeadReduce::Max, HeadReduce::Min,
                                 HeadReduce::Weighted, HeadReduce::One, HeadReduce::TopK};
constexpr LayerReduce kLayers[] = {LayerReduce::Mean, LayerReduce::Max, LayerReduce::Last, LayerReduce::Weighted};

inline std::vector<float> softmax_rows(Numbers& numbers, std::size_t rows, std::size_t keys, double hidden) {
  std::vector<float> all;
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<double> row(keys);
    double sum = 0;
    for (double& x : row) sum += x = numbers() < hidden ? 0 : std::exp(4 * numbers());
    for (double x : row) all.push_back(static_cast<float>(sum > 0 ? x / sum : 0));
  }
  return all;
}

}  // namespace gaze::test
