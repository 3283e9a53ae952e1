// SPDX-License-Identifier: MIT
// Compiles GAZE_BODY once per instruction set, as gaze::kernels::cpu::{baseline,avx2,avx512}. No include guard.
//
// Include every other header before this one: what they define must keep the baseline's instructions, because the
// linker keeps one copy of an inline function for the whole program. A body has no includes, no namespace of its own,
// and may ask GAZE_ISA_AVX2 and GAZE_ISA_AVX512 (which implies the former).

namespace gaze::kernels::cpu {

namespace baseline {
#define GAZE_ISA_AVX2 0
#define GAZE_ISA_AVX512 0
#include GAZE_BODY
#undef GAZE_ISA_AVX2
#undef GAZE_ISA_AVX512
}  // namespace baseline

#ifdef __x86_64__
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2")
namespace avx2 {
#define GAZE_ISA_AVX2 1
#define GAZE_ISA_AVX512 0
#include GAZE_BODY
#undef GAZE_ISA_AVX2
#undef GAZE_ISA_AVX512
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,prefer-vector-width=512")
namespace avx512 {
#define GAZE_ISA_AVX2 1
#define GAZE_ISA_AVX512 1
#include GAZE_BODY
#undef GAZE_ISA_AVX2
#undef GAZE_ISA_AVX512
}  // namespace avx512
#pragma GCC pop_options
#else
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif

}  // namespace gaze::kernels::cpu
