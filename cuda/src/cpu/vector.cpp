// SPDX-License-Identifier: MIT
#include "cpu/vector.hpp"

#include <cmath>

namespace gaze::kernels::cpu {
namespace {

template <typename T, typename Convert>
void convert(const void* from, std::int64_t stride, std::int64_t count, float* to, Convert&& to_float) {
  const T* x = static_cast<const T*>(from);
  if (stride == 1) {  // a loop of its own: only this one vectorises
    for (std::int64_t i = 0; i < count; ++i) to[i] = to_float(x[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = to_float(x[i * stride]);
  }
}

constexpr double kResolution = 1e-6;

}  // namespace

double normalised_entropy(const float* x, std::int64_t count, double sum) {
  if (count <= 1 || !(sum > 0)) return 0;
  const double entropy = std::log(sum) - sum_x_log_x(x, count) / sum;
  const double share = entropy / std::log(static_cast<double>(count));
  // Nearer to a bound than float logarithms resolve is on it: rounding must not decide which uniform head counts most.
  return share < kResolution ? 0 : share > 1 - kResolution ? 1 : share;
}

const float* as_floats(const void* from, DType dtype, std::int64_t stride, std::int64_t count, float* scratch) {
  switch (dtype) {
    case DType::F32:
      if (stride == 1) return static_cast<const float*>(from);
      convert<float>(from, stride, count, scratch, [](float x) { return x; });
      break;
    case DType::F16:
      convert<std::uint16_t>(from, stride, count, scratch, float_from_half);
      break;
    case DType::BF16:
      convert<std::uint16_t>(from, stride, count, scratch, float_from_bf16);
      break;
    case DType::Bool:  // as a mask added to scores
      convert<bool>(from, stride, count, scratch, [](bool seen) { return seen ? 0.0f : -HUGE_VALF; });
      break;
  }
  return scratch;
}

}  // namespace gaze::kernels::cpu
