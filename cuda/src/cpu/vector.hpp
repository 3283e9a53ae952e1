// SPDX-License-Identifier: MIT
// Loops the compiler turns into vector code without -ffast-math: reductions keep one partial sum per lane.
#pragma once

#include <cstdint>

#include "half.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {

constexpr std::int64_t kLanes = 16;

/// Sum in double: rows of any length keep float accuracy, and only NaN or infinity makes it non-finite.
inline double sum(const float* x, std::int64_t count) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(x[i + l]);
  }
  double total = 0;
  for (double lane : lanes) total += lane;
  for (; i < count; ++i) total += static_cast<double>(x[i]);
  return total;
}

/// Largest element; NaN is passed over; -infinity when there is none.
inline float maximum(const float* x, std::int64_t count) {
  constexpr float kNone = -__builtin_huge_valf();
  float lanes[kLanes];
  for (float& lane : lanes) lane = kNone;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
  }
  float best = kNone;
  for (float lane : lanes) best = lane > best ? lane : best;
  for (; i < count; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

/// ln x for x > 0; any finite number for 0 and denormals, so that x ln x is 0 there.
inline float log_positive(float x) {
  const std::uint32_t bits = bits_from_float(x);
  // x = 2^exponent m, m in [sqrt(1/2), sqrt(2))
  const std::int32_t exponent = static_cast<std::int32_t>(bits - 0x3f3504f3u) >> 23;
  const float m = float_from_bits(bits - (static_cast<std::uint32_t>(exponent) << 23));
  const float s = (m - 1.0f) / (m + 1.0f);
  const float ss = s * s;
  float p = 2.0f / 9;
  p = p * ss + 2.0f / 7;
  p = p * ss + 2.0f / 5;
  p = p * ss + 2.0f / 3;
  p = p * ss + 2.0f;
  return static_cast<float>(exponent) * 0.693147181f + p * s;
}

/// Sum of x ln x over non-negative x.
inline double sum_x_log_x(const float* x, std::int64_t count) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    float terms[kLanes];
    for (std::int64_t l = 0; l < kLanes; ++l) terms[l] = x[i + l] * log_positive(x[i + l]);
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(terms[l]);
  }
  double total = 0;
  for (double lane : lanes) total += lane;
  for (; i < count; ++i) total += static_cast<double>(x[i] * log_positive(x[i]));
  return total;
}

/// Entropy over its largest possible value: 0 (one element has all) to 1 (uniform).
inline double share_of_entropy(double entropy, double most) {
  constexpr double kResolution = 1e-6;
  const double share = entropy / most;
  // Nearer to a bound than float logarithms resolve is on it: rounding must not decide which uniform head counts most.
  return share < kResolution ? 0 : share > 1 - kResolution ? 1 : share;
}

/// That of `x` divided by its sum; 0 where there is nothing to share.
double normalised_entropy(const float* x, std::int64_t count, double sum);

inline const void* at(const void* base, DType dtype, std::int64_t index) {
  return static_cast<const char*>(base) + index * bytes_of(dtype);
}

}  // namespace gaze::kernels::cpu
