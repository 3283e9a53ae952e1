// SPDX-License-Identifier: MIT
#include "fork_gate.hpp"

#include <pthread.h>

#include <atomic>

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

}  // namespace gaze
