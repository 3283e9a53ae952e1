// SPDX-License-Identifier: MIT
// The processor's vector instructions, for bodies (see each_isa.hpp).
#pragma once

#ifdef __x86_64__
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of the vectors its own header leaves undefined, wherever an intrinsic is inlined.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif
