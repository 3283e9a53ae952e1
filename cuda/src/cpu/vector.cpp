// SPDX-License-Identifier: MIT
#include "cpu/vector.hpp"

#include <cmath>

namespace gaze::kernels::cpu {

double share_of_entropy(double entropy, std::int64_t count) {
  constexpr double kResolution = 1e-6;
  const double share = entropy / std::log(static_cast<double>(count));
  // Nearer to a bound than float logarithms resolve is on it: rounding must not decide which uniform head counts most.
  return share < kResolution ? 0 : share > 1 - kResolution ? 1 : share;
}

double normalised_entropy(const float* x, std::int64_t count, double sum) {
  if (count <= 1 || !(sum > 0)) return 0;
  return share_of_entropy(std::log(sum) - sum_x_log_x(x, count) / sum, count);
}

}  // namespace gaze::kernels::cpu
