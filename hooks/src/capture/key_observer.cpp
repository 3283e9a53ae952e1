// SPDX-License-Identifier: MIT
#include "capture/key_observer.hpp"

#include <map>
#include <mutex>
#include <utility>

#include "process/fork_gate.hpp"

namespace gaze {
namespace {

// One lock for finding and calling: a watch cannot end while it is shown something.
SetUpMutex mutex;

std::map<int64_t, KeyObserver::See*>& watches() {
  static auto* all = new std::map<int64_t, KeyObserver::See*>();
  return *all;
}

}  // namespace

KeyObserver::KeyObserver(See see) : see_(std::move(see)) {
  static int64_t last = 0;
  const std::lock_guard<SetUpMutex> lock(mutex);
  id_ = ++last;
  watches()[id_] = &see_;
}

KeyObserver::~KeyObserver() {
  const std::lock_guard<SetUpMutex> lock(mutex);
  watches().erase(id_);
}

void KeyObserver::show(int64_t id, int64_t site, const at::Tensor& k, int64_t key_axis) {
  const std::lock_guard<SetUpMutex> lock(mutex);
  const auto found = watches().find(id);
  if (found != watches().end()) (*found->second)(site, k, key_axis);
}

}  // namespace gaze
