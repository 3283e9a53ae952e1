// SPDX-License-Identifier: MIT
#include "delivery/pushed_records.hpp"

#include <utility>

#include "delivery/worker.hpp"

namespace gaze {
namespace {

/// In place of the latest, once nothing may be pushed any more.
PushedRecords::Pushed* end_mark() noexcept {
  static PushedRecords::Pushed mark;
  return &mark;
}

}  // namespace

int64_t bytes_of(const Queued& queued) {
  return queued.record.bytes() + (queued.rest ? queued.rest->bytes() : 0) + kBesideBytes;
}

std::unique_ptr<PushedRecords::Pushed> PushedRecords::make(Queued&& queued) {
  auto one = std::make_unique<Pushed>();
  one->one.push_back(std::move(queued));
  return one;
}

PushedRecords::~PushedRecords() {
  Queue left;
  close(left);
}

bool PushedRecords::add(std::unique_ptr<Pushed>& one) noexcept {
  Pushed* latest = latest_.load(std::memory_order_relaxed);
  do {
    if (latest == end_mark()) return false;
    one->before = latest;
  } while (!latest_.compare_exchange_weak(latest, one.get(), std::memory_order_release, std::memory_order_relaxed));
  static_cast<void>(one.release());
  return true;
}

void PushedRecords::take(Queue& queue, Pushed* left) noexcept {
  if (closed()) return;
  Pushed* latest = latest_.exchange(left, std::memory_order_acquire);
  Queue gathered;
  while (latest != nullptr) {
    const std::unique_ptr<Pushed> one(latest);
    latest = one->before;
    gathered.splice(gathered.begin(), one->one);
  }
  queue.splice(queue.end(), gathered);
}

void PushedRecords::gather(Queue& queue) noexcept { take(queue, nullptr); }
void PushedRecords::close(Queue& queue) noexcept { take(queue, end_mark()); }

bool PushedRecords::empty() const noexcept {
  const Pushed* const latest = latest_.load(std::memory_order_acquire);
  return latest == nullptr || latest == end_mark();
}
bool PushedRecords::closed() const noexcept { return latest_.load(std::memory_order_relaxed) == end_mark(); }

}  // namespace gaze
