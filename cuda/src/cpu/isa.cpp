// SPDX-License-Identifier: MIT
#include "cpu/isa.hpp"

namespace gaze::kernels::cpu {

bool has(Isa isa) {
  switch (isa) {
    case Isa::Baseline:
      return true;
#ifdef __x86_64__
    case Isa::Avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    case Isa::Avx512:
      return has(Isa::Avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi");
#endif
    default:
      return false;
  }
}

Isa best_isa() {
  static const Isa best = has(Isa::Avx512) ? Isa::Avx512 : has(Isa::Avx2) ? Isa::Avx2 : Isa::Baseline;
  return best;
}

}  // namespace gaze::kernels::cpu
