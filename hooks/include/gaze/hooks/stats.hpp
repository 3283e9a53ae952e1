// SPDX-License-Identifier: MIT
// Counters of one attached module.
#pragma once

#include <gaze/render/status.hpp>

#include <array>
#include <cstdint>

namespace gaze {

/// A consistent snapshot: sampled == written + in_flight + the sum of dropped (token drops aside).
struct Stats {
  int64_t begun = 0;      ///< requests opened, sampled or not
  int64_t sampled = 0;    ///< requests captured: one per batch row
  int64_t written = 0;    ///< records the sink accepted
  int64_t in_flight = 0;  ///< open, queued or being written
  int64_t taps = 0;       ///< attention calls reduced
  int64_t tokens_dropped = 0;
  std::array<int64_t, static_cast<size_t>(DropReason::kCount)> dropped{};  ///< requests, by reason

  [[nodiscard]] int64_t drops(DropReason reason) const { return dropped[static_cast<size_t>(reason)]; }
};

}  // namespace gaze
