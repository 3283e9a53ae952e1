// SPDX-License-Identifier: MIT
#include "request/attached_model.hpp"

#include <gaze/render/status.hpp>

#include <array>
#include <atomic>

#include "process/fork_gate.hpp"
#include "request/recorder.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxModuleTypes = 4096;
std::array<std::atomic<AttachedModel*>, kMaxModuleTypes> registry{};

}  // namespace

std::shared_ptr<Recorder> AttachedModel::recorder() {
  const std::lock_guard<std::mutex> lock(fork_gate());
  return recorder_.lock();
}

bool AttachedModel::claim(const std::shared_ptr<Recorder>& recorder) {
  std::shared_ptr<Recorder> before;  // may be destroyed here, without the lock
  const std::lock_guard<std::mutex> lock(fork_gate());
  before = recorder_.lock();
  if (before && !before->forked()) return false;
  recorder_ = recorder;
  return true;
}

void AttachedModel::release(const Recorder* recorder) {
  std::shared_ptr<Recorder> live;
  const std::lock_guard<std::mutex> lock(fork_gate());
  live = recorder_.lock();
  if (live.get() == recorder) recorder_.reset();
}

AttachedModel* attached_model_of(int64_t id) noexcept {
  const int64_t number = id >> kIndexBits;
  if (number < 0 || number >= static_cast<int64_t>(kMaxModuleTypes)) return nullptr;
  return registry[static_cast<size_t>(number)].load(std::memory_order_acquire);
}

void check_number(int64_t number) {
  if (number < static_cast<int64_t>(kMaxModuleTypes)) return;
  throw Error(
      "attach: expected at most 4096 live module types per process, got one more. Destroy models that are no longer "
      "used.");
}

void publish(AttachedModel* model) noexcept {
  registry[static_cast<size_t>(model->number)].store(model, std::memory_order_release);
}

}  // namespace gaze
