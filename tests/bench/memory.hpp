// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>

namespace gaze_bench {

/// The most bytes that were allocated at one time while `call` ran, by operator new and for tensors on the CPU, beyond
/// what was there before. `call` runs on a new thread: scratch memory that threads keep counts.
int64_t peak_bytes(const std::function<void()>& call);

}  // namespace gaze_bench
