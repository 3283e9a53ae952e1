// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>

namespace hooks_test {

/// Heap allocations through operator new that `call` makes on this thread.
int64_t allocations_of(const std::function<void()>& call);

/// From now on every operator new of this thread throws, or none does.
void fail_allocations(bool fail);

}  // namespace hooks_test
