// SPDX-License-Identifier: MIT
#include "delivery/counters.hpp"

#include <cerrno>
#include <ctime>

#include "process/fork_gate.hpp"

namespace gaze {

Bell::Bell() noexcept { sem_init(&semaphore_, 0, 0); }
Bell::~Bell() { sem_destroy(&semaphore_); }
void Bell::ring() noexcept { sem_post(&semaphore_); }

void Bell::wait_until(Clock::time_point deadline) noexcept {
  const auto since = deadline.time_since_epoch();
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(since);
  const timespec until{static_cast<time_t>(whole.count()), static_cast<long>((since - whole).count())};
  while (true) {
    const bool forever = deadline == Clock::time_point::max();
    const int status = forever ? sem_wait(&semaphore_) : sem_clockwait(&semaphore_, CLOCK_MONOTONIC, &until);
    if (status == 0 || errno != EINTR) return;
  }
}

Counters::Counters() { watch_forks(); }

void Counters::sampled(int64_t requests) noexcept { sampled_.fetch_add(requests, std::memory_order_release); }

void Counters::declined(DropReason reason, int64_t requests) noexcept {
  if (requests == 0) return;
  dropped_[static_cast<size_t>(reason)].fetch_add(requests, std::memory_order_release);
  if (reason == DropReason::Breaker || reason == DropReason::RateLimited) remark(reason);
}

void Counters::written() noexcept { written_.fetch_add(1, std::memory_order_release); }

void Counters::dropped(DropReason reason, int64_t requests) noexcept {
  if (requests == 0) return;
  dropped_[static_cast<size_t>(reason)].fetch_add(requests, std::memory_order_release);
  remark(reason);
}

void Counters::self_check_failed() noexcept {
  dropped_[static_cast<size_t>(DropReason::SelfCheck)].fetch_add(1, std::memory_order_release);
}

void Counters::taps(int64_t calls, int64_t tokens_dropped, int64_t nanoseconds) noexcept {
  tap_nanoseconds_.fetch_add(nanoseconds, std::memory_order_relaxed);
  taps_.fetch_add(calls, std::memory_order_relaxed);
  tokens_dropped_.fetch_add(tokens_dropped, std::memory_order_relaxed);
  if (tokens_dropped > 0) remark(DropReason::TokenLimit);
}

Stats Counters::snapshot() const noexcept {
  Stats stats;
  for (size_t i = 0; i < dropped_.size(); ++i) stats.dropped[i] = dropped_[i].load(std::memory_order_acquire);
  stats.written = written_.load(std::memory_order_acquire);
  stats.sampled = sampled_.load(std::memory_order_acquire);
  stats.begun = stats.sampled + stats.declined();
  stats.in_flight = stats.sampled - stats.written - stats.lost();
  stats.taps = taps_.load(std::memory_order_relaxed);
  stats.tap_seconds = static_cast<double>(tap_nanoseconds_.load(std::memory_order_relaxed)) * 1e-9;
  stats.queue_bytes = queue_bytes_.load(std::memory_order_relaxed);
  stats.tokens_dropped = tokens_dropped_.load(std::memory_order_relaxed);
  stats.calls_dropped = calls_dropped_.load(std::memory_order_relaxed);
  stats.sites_refused = sites_refused_.load(std::memory_order_relaxed);
  return stats;
}

void Counters::remark(DropReason reason) noexcept {
  if ((unnoticed_.fetch_or(bit(reason)) & bit(reason)) == 0) bell_.ring();
}

}  // namespace gaze
