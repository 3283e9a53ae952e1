// SPDX-License-Identifier: MIT
// Buffers between guard zones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gaze::test {

constexpr std::size_t kGuard = 1024;  ///< elements on either side

/// Memory a kernel writes: the zones around it must keep their pattern.
template <typename T>
class Output {
 public:
  explicit Output(std::size_t count, T value = T{}) : count_(count), bytes_((count + 2 * kGuard) * sizeof(T), 0xa5) {
    for (std::size_t i = 0; i < count; ++i) data()[i] = value;
  }
  T* data() { return reinterpret_cast<T*>(bytes_.data()) + kGuard; }
  bool intact() const {
    for (std::size_t i = 0; i < kGuard * sizeof(T); ++i) {
      if (bytes_[i] != 0xa5 || bytes_[bytes_.size() - 1 - i] != 0xa5) return false;
    }
    return true;
  }
  std::vector<T> values() { return std::vector<T>(data(), data() + count_); }
  T operator[](std::size_t i) { return data()[i]; }

 private:
  std::size_t count_;
  std::vector<std::uint8_t> bytes_;
};

/// Floats a kernel reads: the zones around them are NaN, so that a read beyond the end shows in the result.
class Input {
 public:
  explicit Input(const std::vector<float>& values) : data_(values.size() + 2 * kGuard) {
    std::memset(data_.data(), 0xff, data_.size() * sizeof(float));
    for (std::size_t i = 0; i < values.size(); ++i) data_[kGuard + i] = values[i];
  }
  const float* data() const { return data_.data() + kGuard; }

 private:
  std::vector<float> data_;
};

/// Pseudo-random numbers in [0, 1), the same on every machine.
class Numbers {
 public:
  double operator()() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }
  std::vector<float> many(std::size_t count, double low = 0, double high = 1) {
    std::vector<float> numbers(count);
    for (float& x : numbers) x = static_cast<float>(low + (high - low) * (*this)());
    return numbers;
  }

 private:
  std::uint64_t state_ = 42;
};

}  // namespace gaze::test
