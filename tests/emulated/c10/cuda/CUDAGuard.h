// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/DeviceGuard.h>

namespace c10::cuda {

struct CUDAGuard {
  explicit CUDAGuard(DeviceIndex device) : guard(Device(DeviceType::CUDA, device)) {}
  DeviceGuard guard;
};

}  // namespace c10::cuda
