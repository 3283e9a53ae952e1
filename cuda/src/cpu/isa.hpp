// SPDX-License-Identifier: MIT
// The instruction sets kernels are compiled for, and the one to run.
#pragma once

#include <array>

namespace gaze::kernels::cpu {

/// Avx2 has FMA and F16C too; Avx512 also BW, DQ, VL and VBMI (Ice Lake, Zen 4 and newer).
enum class Isa { Baseline, Avx2, Avx512 };
constexpr std::array<Isa, 3> kIsas = {Isa::Baseline, Isa::Avx2, Isa::Avx512};

constexpr const char* name(Isa isa) { return isa == Isa::Avx512 ? "avx512" : isa == Isa::Avx2 ? "avx2" : "baseline"; }

/// Whether this processor has it.
bool has(Isa isa);

/// The widest it has; asked once.
Isa best_isa();

}  // namespace gaze::kernels::cpu
