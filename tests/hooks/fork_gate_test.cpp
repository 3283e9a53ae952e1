// SPDX-License-Identifier: MIT
#include "process/fork_gate.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <gaze/render/status.hpp>

#include <thread>

#include "support/test.hpp"

using gaze::SetUpMutex;

namespace {

/// 0: locked and unlocked; 1: refused; else a signal.
int in_child(SetUpMutex& mutex) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    try {
      const std::lock_guard<SetUpMutex> lock(mutex);
      _exit(0);
    } catch (const gaze::Error&) {
      _exit(1);
    }
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

CATCH_TEST_CASE("fork: a child finds the lock of set-up free, or is told that it will never be") {
  gaze::watch_forks();
  SetUpMutex mutex;
  CATCH_CHECK(in_child(mutex) == 0);
  int held = -1;
  {
    const std::lock_guard<SetUpMutex> lock(mutex);
    std::thread([&] { held = in_child(mutex); }).join();
  }
  CATCH_CHECK(held == 1);
  CATCH_CHECK(in_child(mutex) == 0);
}
