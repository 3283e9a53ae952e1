// SPDX-License-Identifier: MIT
// What a forked child may find of the parent's threads: nothing locked.
#pragma once

#include <mutex>

namespace gaze {

/// From now on the gate is held over forks, and generations count. Idempotent.
void watch_forks();

/// Held over fork(), so that a child finds whole and unlocked what it guards. For a few instructions at a time that
/// neither allocate, wait, nor call what is the host's.
std::mutex& fork_gate() noexcept;

/// One more in a forked child than in its parent: threads of the parent's do not exist there.
int fork_generation() noexcept;

}  // namespace gaze
