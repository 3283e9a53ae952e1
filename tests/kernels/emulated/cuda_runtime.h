// SPDX-License-Identifier: MIT
// Stands in for CUDA's header, so that the CUDA kernels' sources run on the processor, thread by thread: what they
// compute, how they index and where they wait is tested on machines without a GPU. Each thread of a block is a fibre
// that runs until it waits; blocks run one after the other. What only a GPU shows (races between blocks, speed) stays
// untested here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned in_x = 1, unsigned in_y = 1, unsigned in_z = 1) : x(in_x), y(in_y), z(in_z) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using cudaStream_t = struct EmulatedStream*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureImplicit = 906
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};

namespace emulated {

/// What tests tell the runtime and ask of it.
struct Runtime {
  using Work = std::function<void()>;
  std::function<void(const Work&)> launch;  ///< of a kernel, which is run at once where this is not set
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
};
inline Runtime runtime;

inline dim3 thread_index, block_index, block_size, grid_size;
inline void* dynamic_shared = nullptr;

}  // namespace emulated

inline cudaError_t cudaPeekAtLastError() { return emulated::runtime.last_error; }
inline cudaError_t cudaGetLastError() { return std::exchange(emulated::runtime.last_error, cudaSuccess); }

namespace emulated {

void wait_for_warp();
void wait_for_block();
/// Runs `thread` for every thread of every block.
void run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread);

inline unsigned lane() { return thread_index.x % 32; }
inline unsigned warp() { return thread_index.x / 32; }

/// What each thread of a block shows the others.
inline std::uint64_t shown[1024];

template <typename T>
T exchange(T mine, unsigned from_lane) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::memcpy(&shown[thread_index.x], &mine, sizeof(T));
  wait_for_warp();
  T theirs;
  std::memcpy(&theirs, &shown[warp() * 32 + from_lane], sizeof(T));
  wait_for_warp();
  return theirs;
}

}  // namespace emulated

#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_size
#define gridDim emulated::grid_size

inline void __syncthreads() { emulated::wait_for_block(); }

inline int __syncthreads_or(int predicate) {
  emulated::shown[threadIdx.x] = predicate != 0;
  emulated::wait_for_block();
  int any = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) any |= emulated::shown[i] != 0;
  emulated::wait_for_block();
  return any;
}

inline int __any_sync(unsigned, int predicate) {
  emulated::shown[threadIdx.x] = predicate != 0;
  emulated::wait_for_warp();
  int any = 0;
  for (unsigned i = 0; i < 32; ++i) any |= emulated::shown[emulated::warp() * 32 + i] != 0;
  emulated::wait_for_warp();
  return any;
}

template <typename T>
T __shfl_sync(unsigned, T x, int lane) {
  return emulated::exchange(x, static_cast<unsigned>(lane) % 32);
}

template <typename T>
T __shfl_xor_sync(unsigned, T x, int step) {
  return emulated::exchange(x, emulated::lane() ^ static_cast<unsigned>(step));
}

template <typename T>
T atomicAdd(T* to, T x) {
  const T before = *to;
  *to += x;
  return before;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((static_cast<std::uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(high) << 32 | low) >> (shift & 31));
}
// The sources are compiled without contraction.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
namespace emulated {
template <typename T>
T shuffled_up(T x, unsigned step) {
  return exchange(x, lane() >= step ? lane() - step : lane());
}

/// Rounded towards zero: the rounding error says whether the sum that was rounded to the nearest lies beyond.
template <typename T>
T sum_towards_zero(T a, T b) {
  const T sum = a + b, from_b = sum - a, error = (a - (sum - from_b)) + (b - from_b);
  return (sum > 0 && error < 0) || (sum < 0 && error > 0) ? std::nextafter(sum, T{0}) : sum;
}
}  // namespace emulated
template <typename T>
T __shfl_up_sync(unsigned, T x, unsigned step) {
  return emulated::shuffled_up(x, step);
}
inline void __syncwarp() { emulated::wait_for_warp(); }
inline float __fadd_rz(float a, float b) { return emulated::sum_towards_zero(a, b); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rz(double a, double b) { return emulated::sum_towards_zero(a, b); }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline int __double2loint(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<int>(static_cast<unsigned>(bits));
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
  unsigned all = 0;
  for (int i = 0; i < 4; ++i) all |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return all;
}
/// Two numbers of 16 bits times the lower, or upper, two bytes.
inline unsigned __dp2a_lo(unsigned halves, unsigned bytes, unsigned sum) {
  return sum + (halves & 0xffff) * (bytes & 0xff) + (halves >> 16) * (bytes >> 8 & 0xff);
}
inline unsigned __dp2a_hi(unsigned halves, unsigned bytes, unsigned sum) { return __dp2a_lo(halves, bytes >> 16, sum); }
using std::isfinite;
using std::isnan;

namespace emulated {
inline std::size_t bytes_read = 0;           ///< from global memory by load_once
inline std::size_t most_shared = 227 << 10;  ///< of a block
}  // namespace emulated
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 132;
  return cudaSuccess;
}
template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, std::size_t) {
  *blocks = 3;
  return cudaSuccess;
}

/// Stands for kernel<<<grid, block, shared_bytes, stream>>>(arguments...).
template <typename... Parameters>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t,
                   const std::common_type_t<Parameters>&... arguments) {
  const auto work = [=] { emulated::run(grid, block, shared_bytes, [&] { kernel(arguments...); }); };
  if (emulated::runtime.launch) {
    emulated::runtime.launch(work);
  } else {
    work();
  }
}
