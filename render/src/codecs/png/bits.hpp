// SPDX-License-Identifier: MIT
// Deflate's stream of bits.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gaze {

static_assert(std::endian::native == std::endian::little, "words are read and written as they lie in files");

inline uint64_t load_8(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Bits, lowest first, into memory that has room for 8 bytes more than are written.
class Bits {
 public:
  /// What did not fill a byte yet goes on in `out`.
  void write_to(uint8_t* out) { begin_ = out_ = out; }
  /// @param count  at most 56
  void put(uint64_t bits, uint64_t count) {
    waiting_ |= bits << count_;
    count_ += count;
    std::memcpy(out_, &waiting_, sizeof waiting_);
    out_ += count_ / 8;
    waiting_ >>= count_ & ~uint64_t{7};
    count_ %= 8;
  }
  /// Bits [begin, end) of `from`, of which 8 bytes more than those can be read.
  void copy(const uint8_t* from, uint64_t begin, uint64_t end) {
    Bits local = *this;  // stays in registers
    constexpr uint64_t kMost = 56;
    const auto take = [&](uint64_t count) {
      local.put(load_8(from + begin / 8) >> begin % 8 & ((uint64_t{1} << count) - 1), count);
    };
    for (; begin + kMost <= end; begin += kMost) take(kMost);
    take(end - begin);
    *this = local;
  }
  void align() { put(0, (8 - count_) % 8); }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(out_ - begin_); }
  /// Since write_to, with what went on from before.
  [[nodiscard]] uint64_t position() const { return 8 * static_cast<uint64_t>(bytes()) + count_; }

 private:
  uint8_t *begin_ = nullptr, *out_ = nullptr;
  uint64_t waiting_ = 0, count_ = 0;
};

}  // namespace gaze
