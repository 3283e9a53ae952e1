// SPDX-License-Identifier: MIT
// Counters of one attached module.
#pragma once

#include <gaze/render/status.hpp>

#include <array>
#include <cstdint>

namespace gaze {

/// A consistent snapshot of one instant. At every instant
///   begun   == sampled + declined()
///   sampled == written + in_flight + lost()
struct Stats {
  int64_t begun = 0;           ///< requests opened: one per batch row
  int64_t sampled = 0;         ///< of these, captured
  int64_t written = 0;         ///< records the sink accepted
  int64_t in_flight = 0;       ///< open, queued or being written
  int64_t taps = 0;            ///< attention calls reduced
  double tap_seconds = 0;      ///< of the model's threads within taps of captured requests that have ended
  int64_t queue_bytes = 0;     ///< held by records that wait for the worker, or that it is at
  int64_t tokens_dropped = 0;  ///< beyond Options::max_tokens; their requests go on
  int64_t calls_dropped = 0;   ///< pushed by a gaze::FrontEnd for no open request or call, or no site
  int64_t sites_refused = 0;   ///< that a gaze::FrontEnd wanted to add
  std::array<int64_t, static_cast<size_t>(DropReason::kCount)> dropped{};  ///< requests, by reason

  [[nodiscard]] int64_t drops(DropReason reason) const { return dropped[static_cast<size_t>(reason)]; }
  /// Requests that were never captured.
  [[nodiscard]] int64_t declined() const {
    return drops(DropReason::NotSampled) + drops(DropReason::OptedOut) + drops(DropReason::RateLimited) +
           drops(DropReason::Breaker);
  }
  /// Sampled requests that ended unwritten: all drops but the declined, and SelfCheck, which counts an attach.
  [[nodiscard]] int64_t lost() const {
    int64_t sum = -declined() - drops(DropReason::SelfCheck);
    for (const int64_t requests : dropped) sum += requests;
    return sum;
  }
};

}  // namespace gaze
