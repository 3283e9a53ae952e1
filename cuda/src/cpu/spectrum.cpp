// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "cpu/intrinsics.hpp"
#include "cpu/row.hpp"
#include "cpu/vector.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {
namespace {

/// 4 while it divides the length, then 2, then the odd primes.
std::int64_t smallest_radix(std::int64_t length) {
  if (length % 4 == 0) return 4;
  if (length % 2 == 0) return 2;
  for (std::int64_t radix = 3; radix * radix <= length; radix += 2) {
    if (length % radix == 0) return radix;
  }
  return length;
}

}  // namespace
}  // namespace gaze::kernels::cpu

#define GAZE_BODY "cpu/spectrum.inl"
#include "cpu/each_isa.hpp"

namespace gaze::kernels::cpu {

std::size_t power_spectrum_workspace(const PowerSpectrumParams& p) { return avx512::spectrum_workspace(p.window); }

void power_spectrum(const PowerSpectrumParams& p, std::int64_t first, std::int64_t end, void* workspace, Isa isa) {
  (isa == Isa::Avx512 ? avx512::spectrum_of
   : isa == Isa::Avx2
       ? avx2::spectrum_of
       : baseline::spectrum_of)(p, first * kFrameGroup, std::min(end * kFrameGroup, p.frames), workspace);
}

}  // namespace gaze::kernels::cpu
