// SPDX-License-Identifier: MIT
// Request counts that always add up.
#pragma once

#include <semaphore.h>
#include <gaze/hooks/stats.hpp>

#include <atomic>
#include <chrono>

namespace gaze {

/// Wakes one thread; may be rung by any, in a signal handler or a forked child too.
class Bell {
 public:
  using Clock = std::chrono::steady_clock;
  Bell() noexcept;
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  void ring() noexcept;
  /// Returns once it was rung, or at `deadline`; Clock::time_point::max() is never.
  void wait_until(Clock::time_point deadline) noexcept;

 private:
  sem_t semaphore_{};
};

/// Thread-safe. Every call is a few instructions under a lock of the process that is held over forks.
class Counters {
 public:
  /// A set of reasons: bit i is the reason of value i.
  using Reasons = uint32_t;
  static constexpr Reasons bit(DropReason reason) noexcept { return Reasons{1} << static_cast<int>(reason); }

  /// Whether a sampled request may end by it: not what counts attaches, tokens or what was never captured.
  static constexpr bool ends_a_request(DropReason reason) noexcept {
    return reason >= DropReason{0} && reason < DropReason::kCount && reason != DropReason::NotSampled &&
           reason != DropReason::SelfCheck && reason != DropReason::TokenLimit;
  }

  Counters();
  void sampled(int64_t requests) noexcept;                         ///< begun, and captured
  void not_sampled(int64_t requests) noexcept;                     ///< begun, and left alone
  void written() noexcept;                                         ///< a sampled request ends well
  void dropped(DropReason reason, int64_t requests = 1) noexcept;  ///< sampled requests end unwritten
  void self_check_failed() noexcept;
  void taps(int64_t calls, int64_t tokens_dropped) noexcept;
  void call_dropped() noexcept { calls_dropped_.fetch_add(1, std::memory_order_relaxed); }
  void site_refused() noexcept { sites_refused_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] Stats snapshot() const noexcept;

  /// Rings when a reason has drops that nobody took notice of yet.
  [[nodiscard]] Bell& bell() noexcept { return bell_; }
  /// Reasons with drops since they were last handed to `notice`.
  [[nodiscard]] Reasons unnoticed() const noexcept { return unnoticed_.load(std::memory_order_acquire); }
  /// From now on drops of `reasons` ring again. Call it before the snapshot that is told.
  void notice(Reasons reasons) noexcept { unnoticed_.fetch_and(~reasons); }

 private:
  void remark(DropReason reason) noexcept;
  Stats stats_;
  // Without the lock: every attention call of a process may come by.
  std::atomic<int64_t> calls_dropped_{0}, sites_refused_{0};
  std::atomic<Reasons> unnoticed_{0};
  Bell bell_;
};

static_assert(static_cast<int>(DropReason::kCount) <= 32, "Counters::Reasons has a bit for each");

}  // namespace gaze
