// SPDX-License-Identifier: MIT
#include "page/page_memory.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace gaze {
namespace {

bool idle(const at::Tensor& flat) { return flat.storage().use_count() == 1; }

int64_t bytes_of(const std::vector<at::Tensor>& kept) {
  int64_t bytes = 0;
  for (const at::Tensor& flat : kept) bytes += flat.numel();
  return bytes;
}

}  // namespace

at::Tensor PageMemory::take(int64_t height, int64_t width) {
  const int64_t bytes = height * width * 3;
  const std::lock_guard lock(mutex_);
  at::Tensor flat;
  for (const at::Tensor& each : kept_) {
    const bool fits = idle(each) && each.numel() >= bytes;
    if (fits && (!flat.defined() || each.numel() < flat.numel())) flat = each;
  }
  if (!flat.defined()) {
    // Too small for what is drawn now: room for what is not.
    kept_.erase(std::remove_if(kept_.begin(), kept_.end(), idle), kept_.end());
    flat = at::empty({bytes}, at::kByte);
    if (bytes_of(kept_) + bytes <= kMostBytes) kept_.push_back(flat);
  }
  return flat.narrow(0, 0, bytes).view({height, width, 3});
}

int64_t PageMemory::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_of(kept_);
}

}  // namespace gaze
