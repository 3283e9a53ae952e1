// SPDX-License-Identifier: MIT
// Stops capturing while what is captured cannot be kept, and tries again. Allocates nothing, waits for nothing.
#pragma once

#include <gaze/render/status.hpp>

#include <atomic>
#include <cstdint>

namespace gaze {

/// Any thread. Closed: requests pass. Open: none does, but for one try after each pause; pauses grow from 1/4 to 4
/// seconds. Times are nanoseconds of a clock that never goes back.
class Breaker {
 public:
  static constexpr int kFailures = 8;  ///< in a row, which open it
  static constexpr int64_t kShortestPauseNs = 250'000'000, kLongestPauseNs = 4'000'000'000;

  /// Whether a failure says that the next request would fare the same. What a request itself may cause is none:
  /// nobody is to switch capture off from outside.
  static bool counts(DropReason reason) noexcept;

  /// Whether a request may be captured now. Cost while closed: one load.
  [[nodiscard]] bool allows(int64_t now_ns) noexcept {
    return retry_at_ns_.load(std::memory_order_relaxed) == 0 || tries(now_ns);
  }
  [[nodiscard]] bool open() const noexcept { return retry_at_ns_.load(std::memory_order_relaxed) != 0; }
  /// Why it opened the last time.
  [[nodiscard]] DropReason reason() const noexcept { return reason_.load(std::memory_order_relaxed); }
  /// How often it opened.
  [[nodiscard]] int64_t opened() const noexcept { return opened_.load(std::memory_order_relaxed); }

  void succeeded() noexcept;
  void failed(DropReason reason, int64_t now_ns) noexcept;

 private:
  [[nodiscard]] bool tries(int64_t now_ns) noexcept;

  std::atomic<int64_t> retry_at_ns_{0};  // 0: closed
  std::atomic<int64_t> pause_ns_{0};
  std::atomic<int> failures_{0};
  std::atomic<DropReason> reason_{DropReason::Internal};
  std::atomic<int64_t> opened_{0};
};

}  // namespace gaze
