// SPDX-License-Identifier: MIT
#include "scratch.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "quiet.hpp"

namespace gaze::ops {
namespace {

struct Idle {
  c10::Stream stream;
  at::Tensor memory;
};

struct Kept {
  std::mutex mutex;
  std::vector<Idle> idle;  // the longest unused first
  std::size_t idle_bytes = 0;
  std::size_t lent = 0;
};

Kept& kept() {
  static auto* const all = new Kept;  // leaked: at exit CUDA may be gone before static objects are
  return *all;
}

/// The smallest one of `stream` that is large enough; undefined: none. Makes room for what comes back.
at::Tensor lend(c10::Stream stream, std::size_t bytes) {
  Kept& all = kept();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.idle.reserve(all.idle.size() + all.lent + 1);  // giving back must not fail
  ++all.lent;
  auto best = all.idle.end();
  for (auto each = all.idle.begin(); each != all.idle.end(); ++each) {
    if (each->stream != stream || each->memory.nbytes() < bytes) continue;
    if (best == all.idle.end() || each->memory.nbytes() < best->memory.nbytes()) best = each;
  }
  if (best == all.idle.end()) return {};
  at::Tensor memory = std::move(best->memory);
  all.idle.erase(best);
  all.idle_bytes -= memory.nbytes();
  return memory;
}

/// Keeps `memory` (undefined: nothing was had), or hands it to torch's allocator, as it does with the longest unused
/// ones. All of that is in order of the stream each was allocated on, which alone has used it.
void give_back(c10::Stream stream, at::Tensor memory) noexcept {
  Kept& all = kept();
  bool lent = true;
  while (true) {
    at::Tensor dropped;  // gone after the lock: the allocator may call the host back
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.lent -= std::exchange(lent, false) ? 1 : 0;
    if (!memory.defined()) return;
    if (memory.nbytes() > Scratch::kKeptBytes) {
      dropped = std::move(memory);
      return;
    }
    if (all.idle_bytes + memory.nbytes() <= Scratch::kKeptBytes) {
      all.idle_bytes += memory.nbytes();
      all.idle.push_back({stream, std::move(memory)});
      return;
    }
    dropped = std::move(all.idle.front().memory);
    all.idle.erase(all.idle.begin());
    all.idle_bytes -= dropped.nbytes();
  }
}

}  // namespace

Scratch::Scratch(c10::Stream stream, std::size_t bytes, Use use) : stream_(stream), use_(use) {
  if (bytes == 0) return;
  if (use == Use::Call) memory_ = lend(stream, bytes);
  if (memory_.defined()) return;
  try {
    // Kept between calls: an inference tensor would not be written outside of inference mode.
    const c10::InferenceMode normal(false);
    const Quiet quiet;
    memory_ = at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte).device(stream.device()));
  } catch (...) {
    if (use == Use::Call) give_back(stream, {});
    throw;
  }
}

Scratch::~Scratch() {
  if (memory_.defined() && use_ == Use::Call) give_back(stream_, std::move(memory_));
}

}  // namespace gaze::ops
