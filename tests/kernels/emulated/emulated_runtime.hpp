// SPDX-License-Identifier: MIT
// Streams, errors, attributes and launches of the emulated CUDA: what tests tell it and ask of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned in_x = 1, unsigned in_y = 1, unsigned in_z = 1) : x(in_x), y(in_y), z(in_z) {}
};

using cudaStream_t = struct EmulatedStream*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureImplicit = 906
};
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };

namespace emulated {

constexpr std::size_t kSharedBytes = 48 * 1024;     ///< of a block that asked for nothing
constexpr std::size_t kMostParameterBytes = 32764;  ///< from CUDA 12.1 on
constexpr unsigned kMostBlocksDown = 65535;         ///< of a grid, in y and z
constexpr unsigned kMostBlocksAcross = 2147483647;  ///< in x

struct Launch {
  std::string kernel;  ///< draw_overlay<true>: without namespaces and parameters
  const void* function;
  dim3 grid, block;
  std::size_t shared_bytes, parameter_bytes;
};

struct Runtime {
  using Work = std::function<void()>;
  std::function<void(const Work&)> launch;  ///< of a kernel, which is run at once where this is not set
  std::vector<Launch> launches;             ///< all of them, in their order
  bool records_only = false;                ///< launches are recorded, and nothing runs

  /// Decides the order of threads, warps and blocks, with the number of the launch. 0: as they are numbered, and one
  /// block after the other.
  std::uint64_t seed = 1;
  unsigned resident_blocks = 3;  ///< of a launch that take turns, at most

  int multiprocessors = 132;
  int blocks_of_a_multiprocessor = 3;                    ///< the answer, whatever the kernel
  std::map<const void*, std::size_t> most_shared_bytes;  ///< that kernels asked for

  std::set<const void*> loaded;          ///< kernels whose code was asked for
  cudaError_t load_error = cudaSuccess;  ///< the answer

  cudaError_t last_error = cudaSuccess;
  cudaError_t capture_error = cudaSuccess;  ///< the answer of cudaStreamIsCapturing, and its status
  cudaStreamCaptureStatus capture_status = cudaStreamCaptureStatusNone;
  cudaStream_t recording = nullptr;  ///< a stream that records a CUDA graph, whatever the answer for others is
  struct Exchange {
    std::thread::id thread;
    int device;
    cudaStreamCaptureMode mode;
  };
  std::vector<Exchange> exchanges;  ///< of threads' capture modes
  /// What graphs keep, and how it is let go of: the end of a graph is its call.
  std::vector<Work> held;
};
inline Runtime runtime;
inline std::size_t most_shared = 227 * 1024;  ///< bytes of a block that asks for them; an H200's
inline std::size_t bytes_read = 0;            ///< from global memory, by kernels that count them

/// Adds a launch to those of `runtime`.
/// @throws std::logic_error where a GPU would not start it
Launch record(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes, std::size_t parameter_bytes);

/// Runs `thread` for every thread of every block.
/// @throws std::logic_error at what CUDA leaves undefined, with the place
void run(const Launch& launch, const std::function<void()>& thread);

/// Of parameters {size, alignment} one behind the other.
inline std::size_t bytes_of_parameters(const std::vector<std::pair<std::size_t, std::size_t>>& parameters) {
  std::size_t bytes = 0;
  for (const auto& [size, alignment] : parameters) bytes = (bytes + alignment - 1) / alignment * alignment + size;
  return bytes;
}

}  // namespace emulated

inline cudaError_t cudaPeekAtLastError() { return emulated::runtime.last_error; }
inline cudaError_t cudaGetLastError() { return std::exchange(emulated::runtime.last_error, cudaSuccess); }

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? emulated::runtime.multiprocessors
                                                       : static_cast<int>(emulated::most_shared);
  return cudaSuccess;
}

struct cudaFuncAttributes {
  int numRegs;
};

template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel* kernel) {
  attributes->numRegs = 0;
  emulated::runtime.loaded.insert(reinterpret_cast<const void*>(kernel));
  return emulated::runtime.load_error;
}

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > emulated::most_shared) return cudaErrorInvalidValue;
  emulated::runtime.most_shared_bytes[reinterpret_cast<const void*>(kernel)] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, std::size_t) {
  *blocks = emulated::runtime.blocks_of_a_multiprocessor;
  return cudaSuccess;
}
