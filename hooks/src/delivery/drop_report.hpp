// SPDX-License-Identifier: MIT
// What is said about drops, and when.
#pragma once

#include <gaze/hooks/log.hpp>
#include <gaze/hooks/stats.hpp>

#include <array>
#include <chrono>
#include <functional>

#include "delivery/counters.hpp"

namespace gaze {

/// The first drop of a reason is said at once, later ones in one line a minute for each reason, with counts. Allocates
/// nothing. For one thread.
class DropReport {
 public:
  using Clock = std::chrono::steady_clock;
  using Say = std::function<void(LogLevel level, const char* line)>;
  static constexpr std::chrono::seconds kPause{60};

  static constexpr size_t kTextBytes = 400;  ///< with the NUL at its end

  /// Room for why the latest drop of `reason` happened, to be ended with a NUL.
  char* because(DropReason reason) noexcept { return entries_[static_cast<size_t>(reason)].text.data(); }
  /// Reasons of which no line may be said yet.
  [[nodiscard]] Counters::Reasons resting(Clock::time_point now) const noexcept;
  /// Says what `stats` hold that was not said yet, of all reasons that do not rest.
  /// @return when the first of those that rest may be said; Clock::time_point::max() when none has anything to say
  Clock::time_point tell(const Stats& stats, Clock::time_point now, const Say& say) noexcept;
  /// Everything in one line; nothing when nothing was dropped.
  static void sum_up(const Stats& stats, const Say& say) noexcept;

 private:
  struct Entry {
    int64_t said = 0;
    Clock::time_point at;  // of the latest line; meaningless before the first
    std::array<char, kTextBytes> text{};
  };
  std::array<Entry, static_cast<size_t>(DropReason::kCount)> entries_;
};

}  // namespace gaze
