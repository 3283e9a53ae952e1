// SPDX-License-Identifier: MIT
// CUDA's vectors, atomics and single instructions, by their meaning.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Threads give way only where they wait: whatever is done at once is atomic.
template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> x) {
  return std::exchange(*at, *at + x);
}
template <typename T>
T atomicOr(T* at, std::type_identity_t<T> x) {
  return std::exchange(*at, *at | x);
}
template <typename T>
T atomicMax(T* at, std::type_identity_t<T> x) {
  return std::exchange(*at, *at < x ? x : *at);
}
template <typename T>
T atomicMin(T* at, std::type_identity_t<T> x) {
  return std::exchange(*at, x < *at ? x : *at);
}
template <typename T>
T atomicExch(T* at, std::type_identity_t<T> x) {
  return std::exchange(*at, x);
}
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> x) {
  return std::exchange(*at, *at == expected ? x : *at);
}
/// Back to 0 beyond `most`.
inline unsigned atomicInc(unsigned* at, unsigned most) { return std::exchange(*at, *at >= most ? 0u : *at + 1); }

template <typename T>
T __ldg(const T* from) {
  return *from;
}
template <typename T>
T __ldcs(const T* from) {
  return *from;
}
template <typename T>
T __ldcg(const T* from) {
  return *from;
}
template <typename T>
void __stcs(T* to, std::type_identity_t<T> x) {
  *to = x;
}
template <typename T>
void __stcg(T* to, std::type_identity_t<T> x) {
  *to = x;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((static_cast<std::uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(high) << 32 | low) >> (shift & 31));
}
/// Four of the eight bytes of `low` and `high`; bit 3 of a choice spreads that byte's sign.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned choices) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
  unsigned out = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned choice = choices >> (4 * i);
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (choice & 7u))) & 0xffu;
    if ((choice & 8u) != 0) byte = (byte & 0x80u) != 0 ? 0xffu : 0u;
    out |= byte << (8 * i);
  }
  return out;
}
/// Two numbers of 16 bits times the lower, or the upper, two bytes.
inline unsigned __dp2a_lo(unsigned halves, unsigned bytes, unsigned sum) {
  return sum + (halves & 0xffffu) * (bytes & 0xffu) + (halves >> 16) * (bytes >> 8 & 0xffu);
}
inline unsigned __dp2a_hi(unsigned halves, unsigned bytes, unsigned sum) { return __dp2a_lo(halves, bytes >> 16, sum); }

// The sources are compiled without contraction.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
namespace emulated {
/// Rounded towards zero: one step back where rounding to the nearest went beyond the exact sum.
template <typename T>
T sum_towards_zero(T a, T b) {
  const T near = a + b, part = near - a, rest = (a - (near - part)) + (b - part);
  const bool beyond = rest != 0 && std::isfinite(near) && (rest < 0) == (near > 0);
  return beyond ? std::nextafter(near, T{0}) : near;
}
}  // namespace emulated
inline float __fadd_rz(float a, float b) { return emulated::sum_towards_zero(a, b); }
inline double __dadd_rz(double a, double b) { return emulated::sum_towards_zero(a, b); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __double2loint(double x) { return static_cast<int>(std::bit_cast<std::uint64_t>(x) & 0xffffffffu); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
using std::isfinite;
using std::isnan;
