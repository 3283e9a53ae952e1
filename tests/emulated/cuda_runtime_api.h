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

using cudaGraph_t = struct EmulatedGraph*;
using cudaUserObject_t = struct EmulatedUserObject {
  void* object;
  void (*release)(void*);
}*;
constexpr unsigned cudaUserObjectNoDestructorSync = 1, cudaGraphUserObjectMove = 1;

inline cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                            unsigned long long* id, cudaGraph_t* graph) {
  *id = 1;
  *graph = nullptr;
  return cudaStreamIsCapturing(stream, status);
}

inline cudaError_t cudaUserObjectCreate(cudaUserObject_t* made, void* object, void (*release)(void*), unsigned references,
                                        unsigned flags) {
  if (references != 1 || flags != cudaUserObjectNoDestructorSync) return cudaErrorInvalidValue;
  *made = new EmulatedUserObject{object, release};
  return cudaSuccess;
}

inline cudaError_t cudaUserObjectRelease(cudaUserObject_t held, unsigned) {
  held->release(held->object);
  delete held;
  return cudaSuccess;
}

inline cudaError_t cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t held, unsigned, unsigned flags) {
  if (flags != cudaGraphUserObjectMove) return cudaErrorInvalidValue;
  emulated::runtime.held.push_back([held] { (void)cudaUserObjectRelease(held, 1); });
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
