// SPDX-License-Identifier: MIT
#include "process/fork_gate.hpp"

#include <pthread.h>
#include <gaze/render/status.hpp>

namespace gaze {
namespace {

std::mutex gate;
std::atomic<int> generation{0};

}  // namespace

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork([] { gate.lock(); }, [] { gate.unlock(); },
                   [] {
                     generation.fetch_add(1);
                     gate.unlock();
                   });
  });
}

std::mutex& fork_gate() noexcept { return gate; }
int fork_generation() noexcept { return generation.load(); }

void SetUpMutex::lock() {
  if (const int holder = holder_.load(); holder != kNobody && holder != fork_generation()) {
    throw Error(
        "attach: expected a process that was not forked while another thread attached or probed, got such a child. "
        "Attach before fork(), or call exec() after it.");
  }
  mutex_.lock();
  holder_.store(fork_generation());
}

void SetUpMutex::unlock() noexcept {
  holder_.store(kNobody);
  mutex_.unlock();
}

}  // namespace gaze
