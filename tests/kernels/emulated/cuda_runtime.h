// SPDX-License-Identifier: MIT
// Stands in for CUDA's header, so that the CUDA kernels' sources run on the processor, thread by thread: what they
// compute, how they index and where they wait is tested on machines without a GPU. Threads of a block, its warps and
// several blocks take turns in a random order that a seed decides; what CUDA leaves undefined ends the launch with an
// error that names it. What only a GPU shows (memory that others see late, speed) stays untested here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __grid_constant__
// The marker makes what follows be found as shared memory (loaded_module.hpp): a section's name does not do that for
// variables of templates.
#define EMULATED_NAME_OF(number) emulated_shared_##number
#define EMULATED_NAME(number) EMULATED_NAME_OF(number)
#define __shared__                                                    \
  [[gnu::used, maybe_unused]] static char EMULATED_NAME(__COUNTER__); \
  static

#include "emulated_runtime.hpp"
#include "emulated_threads.hpp"
// Behind them: it needs both.
#include "emulated_intrinsics.hpp"

/// Stands for kernel<<<grid, block, shared_bytes, stream>>>(arguments...).
template <typename... Parameters>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t,
                   const std::common_type_t<Parameters>&... arguments) {
  const emulated::Launch launch =
      emulated::record(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
                       emulated::bytes_of_parameters({{sizeof(Parameters), alignof(Parameters)}...}));
  if (emulated::runtime.records_only) return;
  const auto work = [=] { emulated::run(launch, [&] { kernel(arguments...); }); };
  if (emulated::runtime.launch) {
    emulated::runtime.launch(work);
  } else {
    work();
  }
}
