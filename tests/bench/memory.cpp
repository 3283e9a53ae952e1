// SPDX-License-Identifier: MIT
// Replaces the program's operator new; a file of its own, so that the compiler cannot pair half of it.
#include "memory.hpp"

#include <c10/core/CPUAllocator.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <thread>

namespace {

std::atomic<bool> counting = false;
std::atomic<int64_t> live = 0;
std::atomic<int64_t> peak = 0;

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  if (!counting.load(std::memory_order_relaxed)) return memory;
  const int64_t now = live += static_cast<int64_t>(malloc_usable_size(memory));
  int64_t before = peak;
  while (now > before && !peak.compare_exchange_weak(before, now)) {
  }
  return memory;
}

void release(void* memory) {
  if (counting.load(std::memory_order_relaxed)) live -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    void* memory = counted(std::aligned_alloc(64, (size + 63) / 64 * 64));
    return {memory, memory, release, c10::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return release; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};

}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size == 0 ? 1 : size)); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }

int64_t gaze_bench::peak_bytes(const std::function<void()>& call) {
  static CountingAllocator tensors;
  c10::Allocator* usual = c10::GetCPUAllocator();
  c10::SetCPUAllocator(&tensors);
  std::exception_ptr failed;
  std::thread([&] {
    live = 0;
    peak = 0;
    counting = true;
    try {
      call();
    } catch (...) {
      failed = std::current_exception();
    }
    counting = false;
  }).join();
  c10::SetCPUAllocator(usual);
  if (failed) std::rethrow_exception(failed);
  return peak;
}
