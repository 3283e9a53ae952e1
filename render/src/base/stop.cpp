// SPDX-License-Identifier: MIT
#include <unistd.h>
#include <gaze/render/status.hpp>
#include <gaze/render/stop.hpp>

namespace gaze {
namespace {

thread_local const std::atomic<Stop>* current = nullptr;

Stop order() noexcept { return current == nullptr ? Stop::No : current->load(std::memory_order_acquire); }

}  // namespace

StopScope::StopScope(const std::atomic<Stop>& order) noexcept { current = &order; }
StopScope::~StopScope() { current = nullptr; }

bool stopping() noexcept { return order() != Stop::No; }

void throw_if_stopping() {
  while (order() == Stop::Freeze) ::pause();
  if (stopping()) throw Error("shutdown: the request was given up while it was drawn.", DropReason::Shutdown);
}

}  // namespace gaze
