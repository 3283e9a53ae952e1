// SPDX-License-Identifier: MIT
#include "operate/breaker.hpp"

#include <algorithm>

namespace gaze {

bool Breaker::counts(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::OutDir:
    case DropReason::DiskFull:
    case DropReason::IoError:
    case DropReason::CudaOom:
    case DropReason::CudaError:
    case DropReason::Internal:
      return true;
    default:
      return false;
  }
}

// Whoever gets the try moves the time of the next one: a try that comes to no end is followed by another.
bool Breaker::tries(int64_t now_ns) noexcept {
  int64_t at = retry_at_ns_.load();
  if (at == 0) return true;
  return now_ns >= at && retry_at_ns_.compare_exchange_strong(at, now_ns + pause_ns_.load(std::memory_order_relaxed));
}

void Breaker::succeeded() noexcept {
  failures_.store(0, std::memory_order_relaxed);
  pause_ns_.store(0, std::memory_order_relaxed);
  retry_at_ns_.store(0);
}

void Breaker::failed(DropReason reason, int64_t now_ns) noexcept {
  if (!counts(reason)) return;
  if (failures_.fetch_add(1, std::memory_order_relaxed) + 1 < kFailures) return;
  const int64_t before = pause_ns_.load(std::memory_order_relaxed);
  const bool closed = retry_at_ns_.load() == 0;
  // What was captured before it opened fails as well: only a try makes the pause longer.
  if (!closed && now_ns + before < retry_at_ns_.load()) return;
  const int64_t pause = std::clamp(closed ? kShortestPauseNs : 2 * before, kShortestPauseNs, kLongestPauseNs);
  reason_.store(reason, std::memory_order_relaxed);
  pause_ns_.store(pause, std::memory_order_relaxed);
  retry_at_ns_.store(std::max<int64_t>(1, now_ns + pause));
  if (closed) opened_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace gaze
