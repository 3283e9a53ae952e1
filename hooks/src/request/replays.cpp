// SPDX-License-Identifier: MIT
#include "request/replays.hpp"

#include <gaze/ops/device.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {

ReplayClaim::~ReplayClaim() { of_.end(*this); }

std::shared_ptr<ReplayedRows> Replays::rows_for_graph(const ReplayedRows::Shape& shape, int64_t keys, int64_t tokens,
                                                      int64_t budget_bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const auto& rows) { return !rows->spoilt() && rows->shape() == shape; });
  std::shared_ptr<ReplayedRows> rows =
      known != rows_.end() ? *known : std::make_shared<ReplayedRows>(shape, keys, tokens, budget_bytes);
  if (!ops::keep_with_graph(shape.device, rows)) {
    throw Error(
        "capture: expected a driver that keeps memory with a CUDA graph, got one that does not: replays are not "
        "captured. Run one request outside of the graph to see its attention.",
        DropReason::StreamCapturing);
  }
  if (known == rows_.end()) rows_.push_back(rows);
  return rows;
}

std::unique_ptr<ReplayClaim> Replays::begin(int64_t batch, bool captured) {
  auto claim = std::make_unique<ReplayClaim>(*this);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (ReplayClaim* other : open_) other->overlapped.store(true, std::memory_order_release);
  if (!open_.empty()) claim->overlapped.store(true, std::memory_order_release);
  open_.push_back(claim.get());
  if (!captured) return claim;
  for (const auto& rows : rows_) {
    // Hosts fill a batch up to a size that they have a graph for.
    if (rows->shape().batch < batch || ops::capturing(rows->shape().device)) continue;
    claim->rows.push_back(rows);
    rows->begin();
  }
  return claim;
}

void Replays::end(const ReplayClaim& claim) noexcept {
  if (generation_ != fork_generation()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  open_.erase(std::remove(open_.begin(), open_.end(), &claim), open_.end());
}

}  // namespace gaze
