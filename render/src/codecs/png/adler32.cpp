// SPDX-License-Identifier: MIT
#include "codecs/png/adler32.hpp"

namespace gaze {
namespace {

constexpr uint32_t kModulus = 65521;
constexpr uint32_t kGroup = 32, kStep = 16 * kGroup;  // 16 groups: `befores` stay below 2^16

uint32_t shifted(uint32_t sum, int64_t by) {
  const int64_t left = (sum + by) % int64_t{kModulus};
  return static_cast<uint32_t>(left < 0 ? left + kModulus : left);
}

}  // namespace

void Adler::add(const uint8_t* bytes, size_t count) {
  for (; count >= kStep; bytes += kStep, count -= kStep) {
    // By a byte's place in its group, so that no lane waits for another: its sum over the groups, and the sum of what
    // that was before each group.
    uint16_t sums[kGroup] = {}, befores[kGroup] = {};
    for (size_t group = 0; group < kStep; group += kGroup) {
      for (size_t i = 0; i < kGroup; ++i) {
        befores[i] = static_cast<uint16_t>(befores[i] + sums[i]);
        sums[i] = static_cast<uint16_t>(sums[i] + bytes[group + i]);
      }
    }
    uint32_t sum = 0, before = 0, weighted = 0;
    for (uint32_t i = 0; i < kGroup; ++i) {
      sum += sums[i];
      before += befores[i];
      weighted += (kGroup - i) * sums[i];
    }
    second_ = (second_ + kStep * first_ + kGroup * before + weighted) % kModulus;
    first_ = (first_ + sum) % kModulus;
  }
  for (size_t i = 0; i < count; ++i) {
    first_ = (first_ + bytes[i]) % kModulus;
    second_ = (second_ + first_) % kModulus;
  }
}

void Adler::replace(const uint8_t* before, const uint8_t* now, size_t count, uint64_t behind) {
  int32_t more = 0, later = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) {
    const int32_t difference = now[i] - before[i];
    more += difference;
    later += i * difference;
  }
  // A byte is in as many of the sums as there are bytes from it to the end.
  second_ = shifted(second_, static_cast<int64_t>(behind % kModulus) * more - later);
  first_ = shifted(first_, more);
}

}  // namespace gaze
