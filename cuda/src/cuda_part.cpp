// SPDX-License-Identifier: MIT
#include "cuda_part.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/device.hpp>

#include <atomic>
#include <iterator>
#include <list>
#include <mutex>
#include <utility>

namespace gaze::ops {

const CudaPart* cuda_part(std::string* problem) {
  static const auto* const loaded = [] {
    // Leaked: used until the last thread ends.
    return new Part<CudaPart>(open_part<CudaPart>(reinterpret_cast<const void*>(&cuda_part)));
  }();
  if (problem != nullptr) *problem = loaded->problem;
  return loaded->table;
}

std::string missing_for(c10::Device device) {
  if (!device.is_cuda()) return "";
  std::string problem;
  cuda_part(&problem);
  return problem;
}

bool capturing(c10::Device device) {
  if (!device.is_cuda()) return false;
  const CudaPart* const part = cuda_part();
  return part != nullptr && part->capturing(device.index());
}

void allow_calls_while_capturing(c10::Device device) {
  if (!device.is_cuda()) return;
  if (const CudaPart* const part = cuda_part()) part->allow_calls_while_capturing(device.index());
}

bool keep_with_graph(c10::Device device, std::shared_ptr<void> object) {
  const CudaPart* const part = device.is_cuda() ? cuda_part() : nullptr;
  if (part == nullptr) return false;
  // The runtime lets go of it on a thread of its own, in which nothing of CUDA may be called: torch's allocator would.
  struct Held {
    std::shared_ptr<void> object;
    std::atomic<bool> let_go{false};
  };
  static auto* const mutex = new std::mutex;  // leaked: graphs end when they do
  static auto* const all = new std::list<Held>;
  std::list<Held> ended, one;
  one.emplace_back().object = std::move(object);
  Held* const held = &one.front();
  const std::lock_guard<std::mutex> lock(*mutex);
  for (auto each = all->begin(); each != all->end();) {
    const auto here = each++;
    if (here->let_go.load(std::memory_order_acquire)) ended.splice(ended.end(), *all, here);
  }
  all->splice(all->end(), one);
  const auto drop = [&] { one.splice(one.end(), *all, std::prev(all->end())); };
  try {
    const bool kept = part->keep_with_graph(device.index(), held, [](void* given) {
      static_cast<Held*>(given)->let_go.store(true, std::memory_order_release);
    });
    if (!kept) drop();
    return kept;
  } catch (...) {
    return false;  // the runtime has it, and lets it go
  }
}

void prepare(c10::Device device) {
  if (!device.is_cuda()) return;
  if (const CudaPart* const part = cuda_part()) part->prepare(device.index());
}

c10::Stream own_stream(c10::Device device) {
  const CudaPart* const part = device.is_cuda() ? cuda_part() : nullptr;
  if (part != nullptr) return part->own_stream(device.index());
  return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

}  // namespace gaze::ops
