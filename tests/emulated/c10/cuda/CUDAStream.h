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

inline CUDAStream getStreamFromExternal(cudaStream_t stream, DeviceIndex device) {
  return {Stream(Stream::UNSAFE, Device(DeviceType::CUDA, device), reinterpret_cast<StreamId>(stream))};
}

}  // namespace c10::cuda
