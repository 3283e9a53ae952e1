// SPDX-License-Identifier: MIT
// What a forked child may find of the parent's threads: nothing locked.
#pragma once

#include <atomic>
#include <mutex>

namespace gaze {

/// From now on the gate is held over forks, and generations count. Idempotent.
void watch_forks();

/// Held over fork(), so that a child finds whole and unlocked what it guards. For a few instructions at a time that
/// neither allocate, wait, nor call what is the host's.
std::mutex& fork_gate() noexcept;

/// One more in a forked child than in its parent: threads of the parent's do not exist there.
int fork_generation() noexcept;

/// A lock of set-up, held for long. A forked child that another thread of the parent left it to is refused instead of
/// waiting for ever: what it guards may be half done.
class SetUpMutex {
 public:
  /// @throws gaze::Error in such a child
  void lock();
  void unlock() noexcept;

 private:
  std::mutex mutex_;
  std::atomic<int> holder_{kNobody};  ///< the generation that holds it
  static constexpr int kNobody = -1;
};

}  // namespace gaze
