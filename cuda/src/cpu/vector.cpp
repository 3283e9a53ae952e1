// SPDX-License-Identifier: MIT
#include "cpu/vector.hpp"

#include <cmath>

namespace gaze::kernels::cpu {

double normalised_entropy(const float* x, std::int64_t count, double sum) {
  if (count <= 1 || !(sum > 0)) return 0;
  return share_of_entropy(std::log(sum) - sum_x_log_x(x, count) / sum, std::log(static_cast<double>(count)));
}

}  // namespace gaze::kernels::cpu
