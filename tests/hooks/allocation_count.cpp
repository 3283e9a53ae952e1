// SPDX-License-Identifier: MIT
// Replaces the program's operator new; a file of its own, so that the compiler cannot pair half of it.
#include "allocation_count.hpp"

#include <cstdlib>
#include <new>

namespace {
thread_local bool counting = false;
thread_local int64_t allocations = 0;
thread_local bool failing = false;
}  // namespace

void* operator new(std::size_t size) {
  if (counting) ++allocations;
  if (failing) throw std::bad_alloc();
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int64_t hooks_test::allocations_of(const std::function<void()>& call) {
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

void hooks_test::fail_allocations(bool fail) { failing = fail; }
