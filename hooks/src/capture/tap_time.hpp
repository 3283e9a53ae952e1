// SPDX-License-Identifier: MIT
// What taps cost the model's threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace gaze {

/// Adds how long it lived, in nanoseconds.
class TapTime {
 public:
  explicit TapTime(std::atomic<int64_t>& sum) noexcept : sum_(sum) {}
  ~TapTime() {
    sum_.fetch_add((std::chrono::steady_clock::now() - start_) / std::chrono::nanoseconds(1),
                   std::memory_order_relaxed);
  }
  TapTime(const TapTime&) = delete;
  TapTime& operator=(const TapTime&) = delete;

 private:
  std::atomic<int64_t>& sum_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace gaze
