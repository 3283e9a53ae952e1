// SPDX-License-Identifier: MIT
#include "delivery/counters.hpp"

#include <cerrno>
#include <ctime>
#include <mutex>

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

void Counters::sampled(int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(fork_gate());
  stats_.begun += requests;
  stats_.sampled += requests;
  stats_.in_flight += requests;
}

void Counters::not_sampled(int64_t requests) noexcept {
  const std::lock_guard<std::mutex> lock(fork_gate());
  stats_.begun += requests;
  stats_.dropped[static_cast<size_t>(DropReason::NotSampled)] += requests;
}

void Counters::written() noexcept {
  const std::lock_guard<std::mutex> lock(fork_gate());
  ++stats_.written;
  --stats_.in_flight;
}

void Counters::dropped(DropReason reason, int64_t requests) noexcept {
  if (requests == 0) return;
  {
    const std::lock_guard<std::mutex> lock(fork_gate());
    stats_.dropped[static_cast<size_t>(reason)] += requests;
    stats_.in_flight -= requests;
  }
  remark(reason);
}

void Counters::self_check_failed() noexcept {
  const std::lock_guard<std::mutex> lock(fork_gate());
  ++stats_.dropped[static_cast<size_t>(DropReason::SelfCheck)];
}

void Counters::taps(int64_t calls, int64_t tokens_dropped) noexcept {
  {
    const std::lock_guard<std::mutex> lock(fork_gate());
    stats_.taps += calls;
    stats_.tokens_dropped += tokens_dropped;
  }
  if (tokens_dropped > 0) remark(DropReason::TokenLimit);
}

Stats Counters::snapshot() const noexcept {
  const std::lock_guard<std::mutex> lock(fork_gate());
  Stats stats = stats_;
  stats.calls_dropped = calls_dropped_.load(std::memory_order_relaxed);
  stats.sites_refused = sites_refused_.load(std::memory_order_relaxed);
  return stats;
}

void Counters::remark(DropReason reason) noexcept {
  if ((unnoticed_.fetch_or(bit(reason)) & bit(reason)) == 0) bell_.ring();
}

}  // namespace gaze
