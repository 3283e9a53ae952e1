// SPDX-License-Identifier: MIT
// What the operators of libgaze_observe.so see, and of which package's call.
#pragma once

namespace gaze {

/// While it lives, operators that this thread runs are called by a package, from there.
class CalledFrom {
 public:
  explicit CalledFrom(const void* caller) noexcept : before_(here_) { here_ = caller; }
  ~CalledFrom() { here_ = before_; }
  CalledFrom(const CalledFrom&) = delete;
  CalledFrom& operator=(const CalledFrom&) = delete;
  /// Null: no package calls.
  [[nodiscard]] static const void* here() noexcept { return here_; }

 private:
  static inline thread_local const void* here_ = nullptr;
  const void* const before_;
};

/// From now on packages' calls of these operators are seen, for the process's life. Once is enough.
/// @throws gaze::Error where their library is not loaded, not of this Gaze, or tells another copy of it
void listen_to_observers();

}  // namespace gaze
