// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda_runtime_api.h>

namespace c10::cuda {

struct CUDAStream {
  operator Stream() const { return current; }
  cudaStream_t stream() const { return reinterpret_cast<cudaStream_t>(current.id()); }
  Stream current;
};

inline CUDAStream getCurrentCUDAStream(DeviceIndex device) {
  return {impl::VirtualGuardImpl(DeviceType::CUDA).getStream(Device(DeviceType::CUDA, device))};
}

}  // namespace c10::cuda
