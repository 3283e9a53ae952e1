// SPDX-License-Identifier: MIT
#include "request/instrumented.hpp"

#include <gaze/render/status.hpp>

#include <array>
#include <atomic>

#include "process/fork_gate.hpp"
#include "request/recorder.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxInstrumented = 4096;
std::array<std::atomic<Instrumented*>, kMaxInstrumented> registry{};

}  // namespace

std::shared_ptr<Recorder> Instrumented::recorder() {
  const std::lock_guard<std::mutex> lock(fork_gate());
  return recorder_.lock();
}

bool Instrumented::claim(const std::shared_ptr<Recorder>& recorder) {
  std::shared_ptr<Recorder> before;  // may be destroyed here, without the lock
  const std::lock_guard<std::mutex> lock(fork_gate());
  before = recorder_.lock();
  if (before && !before->forked()) return false;
  recorder_ = recorder;
  return true;
}

void Instrumented::release(const Recorder* recorder) {
  std::shared_ptr<Recorder> live;
  const std::lock_guard<std::mutex> lock(fork_gate());
  live = recorder_.lock();
  if (live.get() == recorder) recorder_.reset();
}

Instrumented* instrumented_of(int64_t id) noexcept {
  const int64_t number = id >> kIndexBits;
  if (number < 0 || number >= static_cast<int64_t>(kMaxInstrumented)) return nullptr;
  return registry[static_cast<size_t>(number)].load(std::memory_order_acquire);
}

void check_number(int64_t number) {
  if (number < static_cast<int64_t>(kMaxInstrumented)) return;
  throw Error(
      "attach: expected at most 4096 live module types per process, got one more. Destroy models that are no longer "
      "used.");
}

void publish(Instrumented* instrumented) noexcept {
  registry[static_cast<size_t>(instrumented->number)].store(instrumented, std::memory_order_release);
}

}  // namespace gaze
