// SPDX-License-Identifier: MIT
// The random numbers of the composers.
#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace gaze::scenes {

// Own arithmetic on the raw generator: the standard's distributions differ from library to library. Draw at most once
// per expression, or in a braced list: compilers differ in the order in which they evaluate arguments and operands.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  float uniform(float low, float high) {
    const double unit = static_cast<double>(engine_() >> 11U) * 0x1.0p-53;
    return static_cast<float>(low + (high - low) * unit);
  }
  int below(int count) { return static_cast<int>(engine_() % static_cast<std::uint64_t>(count)); }
  bool chance(float probability) { return uniform(0.F, 1.F) < probability; }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (int i = static_cast<int>(values.size()) - 1; i > 0; --i) std::swap(values[i], values[below(i + 1)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace gaze::scenes
