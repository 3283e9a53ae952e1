// SPDX-License-Identifier: MIT
// How the thread that renders is told to give a record up, so that a process can end in time.
#pragma once

#include <gaze/ops/api.hpp>

#include <atomic>

namespace gaze {

/// What becomes of the record that a sink is at.
enum class Stop {
  No,      ///< it is wanted
  GiveUp,  ///< nobody waits for it any more
  Freeze,  ///< the process is ending, and what drawing needs may be gone: the thread must not run on
};

/// Ties what this thread renders to `order`, which any thread may change. For its own lifetime; not nested.
class GAZE_API StopScope {
 public:
  explicit StopScope(const std::atomic<Stop>& order) noexcept;
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;
};

/// Whether this thread's record is no longer wanted. For sinks that take long, between two pieces of their work.
GAZE_API bool stopping() noexcept;

/// Returns while the record is wanted. Does not return once the order is to freeze.
/// @throws gaze::Error (Shutdown) when it is to be given up
GAZE_API void throw_if_stopping();

}  // namespace gaze
