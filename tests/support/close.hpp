// SPDX-License-Identifier: MIT
// Compares number sequences; the answer is a message, so that a failing check says where and by how much.
#pragma once

#include <cmath>
#include <cstddef>
#include <sstream>
#include <string>

namespace gaze::test {

struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

/// Empty when every element of `got` is within absolute + relative * |want| of `want` (NaN equals NaN); else the worst
/// element. Containers need size() and [].
template <typename Got, typename Want>
std::string differs(const Got& got, const Want& want, Tolerance allowed = {}) {
  std::ostringstream message;
  if (got.size() != want.size()) {
    message << "expected " << want.size() << " elements, got " << got.size();
    return message.str();
  }
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double g = static_cast<double>(got[i]), w = static_cast<double>(want[i]);
    if (g == w || (std::isnan(g) && std::isnan(w))) continue;
    const double error = std::abs(g - w);
    const double excess = error / (allowed.absolute + allowed.relative * std::abs(w));
    if (excess <= 1) continue;  // false for NaN
    if (message.tellp() == 0 || excess > worst) {
      message.str("");
      message << "element " << i << " of " << want.size() << ": expected " << w << ", got " << g << ", off by "
              << error;
      worst = excess;
    }
  }
  return message.str();
}

}  // namespace gaze::test
