// SPDX-License-Identifier: MIT
// Host memory for pages, kept from one bundle to the next: new memory costs more than drawing on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/for_parts.hpp"

namespace gaze {

/// Thread-safe.
class PageMemory {
 public:
  static constexpr int64_t kMostBytes = int64_t{32} << 20;  ///< kept; larger pages are given as well

  /// uint8 [height, width, 3] on the CPU, contiguous, of any content. Comes back when its last tensor goes.
  GAZE_FOR_PARTS at::Tensor take(int64_t height, int64_t width);
  /// Bytes kept, in use or not.
  [[nodiscard]] int64_t kept_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::vector<at::Tensor> kept_;  // flat
};

}  // namespace gaze
