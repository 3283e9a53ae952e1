// SPDX-License-Identifier: MIT
// The library with the CUDA kernels, loaded when the first CUDA tensor is met: one binary serves machines with and
// without.
#pragma once

#include <c10/core/Stream.h>
#include <gaze/ops/part.hpp>

#include <string>

#include "kernel_table.hpp"

namespace gaze::ops {

/// What libgaze_cuda.so gives to the core.
struct CudaPart : PartTag {
  static constexpr const char *kFile = "libgaze_cuda.so", *kSymbol = "gaze_cuda_table";
  KernelTable kernels;
  bool (*capturing)(c10::DeviceIndex device);
  void (*allow_calls_while_capturing)(c10::DeviceIndex device);
  bool (*keep_with_graph)(c10::DeviceIndex device, void* object, void (*release)(void*));
  c10::Stream (*own_stream)(c10::DeviceIndex device);
  void (*prepare)(c10::DeviceIndex device);
};

/// Null when it cannot be loaded; `problem` then says why. Thread-safe; tried once.
const CudaPart* cuda_part(std::string* problem = nullptr);

}  // namespace gaze::ops
