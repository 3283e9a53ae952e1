// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace gaze {

/// zlib's checksum: the sum of all bytes, and the sum of those sums after every byte.
class Adler {
 public:
  void add(const uint8_t* bytes, size_t count);
  /// As if `count` bytes of those added, `behind` bytes before the end of all, had been `now` instead of `before`.
  /// @param count   below 2048
  /// @param behind  from the first of them to the end
  void replace(const uint8_t* before, const uint8_t* now, size_t count, uint64_t behind);
  [[nodiscard]] uint32_t value() const { return second_ << 16 | first_; }

 private:
  uint32_t first_ = 1, second_ = 0;
};

}  // namespace gaze
