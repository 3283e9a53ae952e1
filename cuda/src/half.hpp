// SPDX-License-Identifier: MIT
// 16-bit floats by bit arithmetic: branch-free, so that loops over them vectorise; for host and device code.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define GAZE_HOST_DEVICE __host__ __device__
#else
#define GAZE_HOST_DEVICE
#endif

namespace gaze::kernels {

GAZE_HOST_DEVICE inline float float_from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

GAZE_HOST_DEVICE inline std::uint32_t bits_from_float(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

GAZE_HOST_DEVICE inline float float_from_bf16(std::uint16_t bits) {
  return float_from_bits(static_cast<std::uint32_t>(bits) << 16);
}

GAZE_HOST_DEVICE inline float float_from_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  // A product and no shift for subnormals: exact, and right when the host flushes denormal floats to zero.
  const std::uint32_t subnormal = bits_from_float(static_cast<float>(static_cast<std::int32_t>(mantissa)) * 0x1p-24f);
  const std::uint32_t rebased = exponent == 31 ? 0xffu : exponent + 112;
  const std::uint32_t normal = (rebased << 23) | (mantissa << 13);
  return float_from_bits(sign | (exponent == 0 ? subnormal : normal));
}

}  // namespace gaze::kernels
