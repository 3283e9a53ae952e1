// SPDX-License-Identifier: MIT
#include "codecs/png/crc32.hpp"

#include <array>
#include <cstring>

namespace gaze {
namespace {

constexpr size_t kCrcStep = 16;  // bytes at a time: each has a table of its own, so that none waits for another

// [zeros][byte]: what a byte followed by so many zeros adds.
using Tables = std::array<std::array<uint32_t, 256>, kCrcStep>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? 0xEDB88320U ^ value >> 1 : value >> 1;
    tables[0][byte] = value;
  }
  for (size_t zeros = 1; zeros < kCrcStep; ++zeros) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[zeros - 1][byte];
      tables[zeros][byte] = tables[0][before & 255] ^ before >> 8;
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t crc32(std::string_view bytes) {
  uint32_t value = 0xFFFFFFFFU;
  for (; bytes.size() >= kCrcStep; bytes.remove_prefix(kCrcStep)) {
    uint32_t next = 0;
    for (size_t i = 0; i < kCrcStep; ++i) {
      const uint32_t waiting = i < 4 ? value >> (8 * i) : 0;
      next ^= kTables[kCrcStep - 1 - i][(waiting ^ static_cast<unsigned char>(bytes[i])) & 255];
    }
    value = next;
  }
  for (const char byte : bytes) value = kTables[0][(value ^ static_cast<unsigned char>(byte)) & 255] ^ value >> 8;
  return ~value;
}

}  // namespace gaze
