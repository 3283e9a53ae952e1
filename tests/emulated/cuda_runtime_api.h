// SPDX-License-Identifier: MIT
// Stands in for CUDA's header where the operators' own code is tested over the emulated kernels.
#pragma once

#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda_runtime.h>

inline const char* cudaGetErrorName(cudaError_t) { return "emulated error"; }
inline const char* cudaGetErrorString(cudaError_t) { return "as the test asked"; }

inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const bool records = stream != nullptr && stream == emulated::runtime.recording;
  *status = records ? cudaStreamCaptureStatusActive : emulated::runtime.capture_status;
  if (emulated::runtime.capture_error != cudaSuccess) emulated::runtime.last_error = emulated::runtime.capture_error;
  return emulated::runtime.capture_error;
}

inline cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  emulated::runtime.exchanges.push_back({std::this_thread::get_id(), guard.getDevice().index(), *mode});
  return cudaSuccess;
}

constexpr unsigned cudaStreamNonBlocking = 1;

inline cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}

/// Of numbers that the fake device gives to none of its own.
inline cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  static std::uintptr_t last = 1000;
  if (flags != cudaStreamNonBlocking || priority != 0) return cudaErrorLaunchFailure;
  *stream = reinterpret_cast<cudaStream_t>(++last);
  return cudaSuccess;
}
