// SPDX-License-Identifier: MIT
#include "codecs/orientation.hpp"

#include <ATen/ops/flip.h>

#include <cstdint>
#include <vector>

namespace gaze {

int exif_orientation(std::string_view tiff) {
  constexpr uint64_t kOrientation = 0x0112, kByte = 1, kShort = 3, kLong = 4;
  constexpr size_t kEntry = 12;
  const bool little = tiff.starts_with("II");
  if (tiff.size() < 8 || (!little && !tiff.starts_with("MM"))) return 1;
  const auto number = [&](size_t at, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      value = value << 8 | static_cast<unsigned char>(tiff[little ? at + count - 1 - i : at + i]);
    }
    return value;
  };
  const uint64_t directory = number(4, 4);
  if (directory > tiff.size() - 2) return 1;
  const uint64_t entries = number(directory, 2);
  for (uint64_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + i * kEntry;
    if (at + kEntry > tiff.size()) return 1;
    if (number(at, 2) != kOrientation) continue;
    const uint64_t type = number(at + 2, 2);
    if (type != kByte && type != kShort && type != kLong) continue;
    const uint64_t orientation = number(at + 8, type == kByte ? 1 : type == kShort ? 2 : 4);
    return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  }
  return 1;
}

at::Tensor upright(const at::Tensor& rgb_hwc, int orientation) {
  if (orientation <= 1 || orientation > 8) return rgb_hwc;
  const at::Tensor turned = orientation >= 5 ? rgb_hwc.transpose(0, 1) : rgb_hwc;
  std::vector<int64_t> mirrored;
  if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) mirrored.push_back(0);
  if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) mirrored.push_back(1);
  return at::flip(turned, mirrored).contiguous();
}

}  // namespace gaze
