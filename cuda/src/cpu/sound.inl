// SPDX-License-Identifier: MIT
#include "cpu/vector.inl"

typedef float HalfVec __attribute__((vector_size(2 * kWidth)));
typedef double Doubles __attribute__((vector_size(4 * kWidth)));

/// Minimum, maximum and sum of squares of samples, vector by vector.
struct Extent {
  Vec low, high;
  Doubles squares[2] = {};

  explicit Extent(float x) : low(splat(x)), high(splat(x)) {}

  void take(const float* x) {
    const Vec all = load(x);
    low = smaller(all, low);
    high = larger(all, high);
    for (int part = 0; part < 2; ++part) {
      HalfVec half;
      std::memcpy(&half, x + part * kWidth / 2, sizeof half);
      const Doubles wide = __builtin_convertvector(half, Doubles);
      squares[part] += wide * wide;
    }
  }
};

/// Of `count` >= 1 samples. Squares are summed in double: those of finite floats stay finite, others show in the sum.
inline Figures figures_of(const float* x, std::int64_t count) {
  Extent even(x[0]), odd(x[0]);  // two: one would wait for its own last result
  std::int64_t i = 0;
  for (; i + 2 * kWidth <= count; i += 2 * kWidth) {
    even.take(x + i);
    odd.take(x + i + kWidth);
  }
  const Vec low = smaller(even.low, odd.low), high = larger(even.high, odd.high);
  const Doubles squares = (even.squares[0] + even.squares[1]) + (odd.squares[0] + odd.squares[1]);
  Figures figures{low[0], high[0], 0};
  for (std::int64_t l = 0; l < kWidth; ++l) {
    figures.low = low[l] < figures.low ? low[l] : figures.low;
    figures.high = high[l] > figures.high ? high[l] : figures.high;
  }
  for (std::int64_t l = 0; l < kWidth / 2; ++l) figures.squares += squares[l];
  for (; i < count; ++i) {
    figures.low = x[i] < figures.low ? x[i] : figures.low;
    figures.high = x[i] > figures.high ? x[i] : figures.high;
    figures.squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return figures;
}
