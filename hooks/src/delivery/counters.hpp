// SPDX-License-Identifier: MIT
// Request counts that always add up.
#pragma once

#include <semaphore.h>
#include <gaze/hooks/stats.hpp>

#include <array>
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

/// Thread-safe, and nobody waits for anybody: what a request adds when it ends is read before what it added when it
/// began, and how many were begun and are in flight follows from the others, so that every snapshot adds up.
class Counters {
 public:
  /// A set of reasons: bit i is the reason of value i.
  using Reasons = uint64_t;
  static constexpr Reasons bit(DropReason reason) noexcept { return Reasons{1} << static_cast<int>(reason); }

  /// Whether requests that it counts were never captured.
  static constexpr bool declines(DropReason reason) noexcept {
    return reason == DropReason::NotSampled || reason == DropReason::OptedOut || reason == DropReason::RateLimited ||
           reason == DropReason::Breaker;
  }
  /// Whether a sampled request may end by it: not what counts attaches, tokens or what was never captured.
  static constexpr bool ends_a_request(DropReason reason) noexcept {
    return reason >= DropReason{0} && reason < DropReason::kCount && !declines(reason) &&
           reason != DropReason::SelfCheck && reason != DropReason::TokenLimit;
  }

  Counters();
  void sampled(int64_t requests) noexcept;                         ///< begun, and captured
  void declined(DropReason reason, int64_t requests) noexcept;     ///< begun, and left alone
  void written() noexcept;                                         ///< a sampled request ends well
  void dropped(DropReason reason, int64_t requests = 1) noexcept;  ///< sampled requests end unwritten
  void self_check_failed() noexcept;
  void taps(int64_t calls, int64_t tokens_dropped, int64_t nanoseconds) noexcept;
  /// Of records that wait for the worker, or that it is at.
  [[nodiscard]] std::atomic<int64_t>& queue_bytes() noexcept { return queue_bytes_; }
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
  using Count = std::atomic<int64_t>;
  void remark(DropReason reason) noexcept;
  Count sampled_{0}, written_{0}, taps_{0}, tap_nanoseconds_{0}, tokens_dropped_{0}, queue_bytes_{0}, calls_dropped_{0},
      sites_refused_{0};
  std::array<Count, static_cast<size_t>(DropReason::kCount)> dropped_{};
  std::atomic<Reasons> unnoticed_{0};
  Bell bell_;
};

static_assert(static_cast<int>(DropReason::kCount) <= 64, "Counters::Reasons has a bit for each");

}  // namespace gaze
