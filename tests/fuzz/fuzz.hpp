// SPDX-License-Identifier: MIT
// What the fuzz targets share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>

/// Ends the run with the sentence that does not hold.
#define GAZE_HOLDS(condition)                                                             \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

namespace gaze::fuzz {

/// Values out of the fuzzer's bytes, zeros behind their end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : at_(data), left_(size) {}

  template <class Value>
  Value take() {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value{};
    const size_t count = left_ < sizeof(Value) ? left_ : sizeof(Value);
    std::memcpy(&value, at_, count);
    skip(count);
    return value;
  }
  /// In [least, least + count).
  int64_t between(int64_t least, int64_t count) { return least + take<uint16_t>() % count; }
  /// Up to the next zero byte, which is taken as well.
  std::string text() {
    const auto* end = static_cast<const uint8_t*>(left_ == 0 ? nullptr : std::memchr(at_, 0, left_));
    const size_t count = end == nullptr ? left_ : static_cast<size_t>(end - at_);
    std::string taken(reinterpret_cast<const char*>(at_), count);
    skip(end == nullptr ? count : count + 1);
    return taken;
  }
  std::string rest() {
    std::string taken(reinterpret_cast<const char*>(at_), left_);
    skip(left_);
    return taken;
  }
  [[nodiscard]] bool empty() const { return left_ == 0; }
  [[nodiscard]] size_t size() const { return left_; }

 private:
  void skip(size_t count) {
    at_ += count;
    left_ -= count;
  }
  const uint8_t* at_;
  size_t left_;
};

}  // namespace gaze::fuzz
