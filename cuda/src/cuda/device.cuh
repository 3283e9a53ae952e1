// SPDX-License-Identifier: MIT
// What the CUDA kernels share: elements as floats, reductions over a warp and a block.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "half.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Storage of a dtype and its value.
template <DType T>
struct Element;
template <>
struct Element<DType::F32> {
  using Bits = std::uint32_t;
  static __device__ float decode(Bits bits) { return float_from_bits(bits); }
};
template <>
struct Element<DType::F16> {
  using Bits = std::uint16_t;
  static __device__ float decode(Bits bits) {
#ifdef __CUDACC__
    float value;  // exact, as is the arithmetic: one instruction for a dozen
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    return float_from_half(bits);
#endif
  }
};
template <>
struct Element<DType::BF16> {
  using Bits = std::uint16_t;
  static __device__ float decode(Bits bits) { return float_from_bf16(bits); }
};

template <DType T>
__device__ float element(const void* base, std::int64_t index) {
  return Element<T>::decode(static_cast<const typename Element<T>::Bits*>(base)[index]);
}

/// A mask as it is added to a score: 0 or -infinity for bool.
__device__ inline float mask_value(const void* base, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::F32:
      return element<DType::F32>(base, index);
    case DType::F16:
      return element<DType::F16>(base, index);
    case DType::BF16:
      return element<DType::BF16>(base, index);
    default:
      return static_cast<const bool*>(base)[index] ? 0.0f : -INFINITY;
  }
}

template <typename T>
__device__ T warp_sum(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

/// NaN is passed over.
__device__ inline float warp_max(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

__device__ inline float warp_min(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x = fminf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

struct Sum {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Min {
  __device__ float operator()(float a, float b) const { return fminf(a, b); }
};

/// Over all threads of a block of whole warps, the same result in each. `neutral` fills missing warps.
template <typename T, typename Op>
__device__ T block_reduce(T x, T neutral, Op op) {
  __shared__ T partial[kWarp];
  for (int step = kWarp / 2; step > 0; step /= 2) x = op(x, __shfl_xor_sync(kAllLanes, x, step));
  __syncthreads();  // an earlier use may still be read
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  T total = neutral;
  for (unsigned w = 0; w < blockDim.x / kWarp; ++w) total = op(total, partial[w]);
  return total;
}

/// x ln x, 0 where x is 0.
__device__ inline float x_log_x(float x) { return x > 0 ? x * logf(x) : 0.0f; }

/// Entropy over its largest possible value; as the CPU twin, nearer to a bound than 1e-6 is on it.
__device__ inline double normalised_entropy(double sum, double sum_x_log_x, std::int64_t count) {
  if (count <= 1 || !(sum > 0)) return 0;
  const double share = (log(sum) - sum_x_log_x / sum) / log(static_cast<double>(count));
  constexpr double kResolution = 1e-6;
  return share < kResolution ? 0 : share > 1 - kResolution ? 1 : share;
}

/// log2 x within 2^-22 of it (within 2^-22 where x is in 1/2..2), for normal x > 0.
__device__ inline float log2_of(float x) {
#ifdef __CUDACC__
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return std::log2(x);
#endif
}

/// Reads weights, which are many and read by one thread alone. Tests count the bytes.
template <typename T>
__device__ T load_once(const void* from) {
#ifndef __CUDACC__
  emulated::bytes_read += sizeof(T);
#endif
  return *static_cast<const T*>(from);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
constexpr bool kCopiesAsync = true;
#else
constexpr bool kCopiesAsync = false;
#endif

template <int kBytes>
struct alignas(kBytes) Piece {
  std::uint32_t word[kBytes / 4];
};
template <>
struct Piece<2> {
  std::uint16_t word;
};

/// Copies by way of registers: pieces that a lane loads before it waits for the first.
template <int kBytes>
constexpr int kTogether = kBytes == 2 ? 16 : 8;

/// Copies kCount pieces per lane, or those among them that are `left`, and goes on behind them.
template <int kBytes, int kCount, bool kWhole>
__device__ void copy_together(const char*& from, std::int64_t step, int left, char*& to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  Piece<kBytes> piece[kCount] = {};
#pragma unroll
  for (int n = 0; n < kCount; ++n, from += kWarp * step) {
    if (kWhole || lane + n * kWarp < left) piece[n] = load_once<Piece<kBytes>>(from);
  }
#pragma unroll
  for (int n = 0; n < kCount; ++n, to += kWarp * kBytes) {
    if (kWhole || lane + n * kWarp < left) *reinterpret_cast<Piece<kBytes>*>(to) = piece[n];
  }
}

/// A warp copies `count` pieces, `step` bytes apart, to adjacent ones in shared memory. They are there for the warp
/// after wait_for_copies(). Every load of a thread is under way before it waits for one: all of them where the GPU
/// copies past the registers, else as many as these hold.
template <int kBytes>
__device__ void copy_pieces(const char* from, std::int64_t step, int count, char* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  from += lane * step;
  to += lane * kBytes;
  if constexpr (kCopiesAsync && kBytes >= 4) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    auto at = static_cast<unsigned>(__cvta_generic_to_shared(to));
    for (int i = lane; i < count; i += kWarp, from += kWarp * step, at += kWarp * kBytes) {
      if constexpr (kBytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
      } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(at), "l"(from), "n"(kBytes) : "memory");
      }
    }
#endif
  } else {
    int left = count;
#pragma unroll 1
    for (; left >= kTogether<kBytes> * kWarp; left -= kTogether<kBytes> * kWarp) {
      copy_together<kBytes, kTogether<kBytes>, true>(from, step, left, to);
    }
    constexpr int kFew = 4;  // as there are predicates for
#pragma unroll 1
    for (; left > 0; left -= kFew * kWarp) copy_together<kBytes, kFew, false>(from, step, left, to);
  }
}

/// For the threads of a warp to see what each of them wrote to shared memory.
__device__ inline void sync_warp() { __syncwarp(); }

__device__ inline void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  sync_warp();
}

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline dim3 grid_of(std::int64_t x, std::int64_t y = 1, std::int64_t z = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}

/// Shared memory that a kernel may have unasked.
constexpr std::size_t kSharedUnasked = 48 << 10;

/// Shared memory that a block may have on the current device.
inline std::size_t most_shared() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return kSharedUnasked;
  const auto asked = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return asked == cudaSuccess ? static_cast<std::size_t>(bytes) : kSharedUnasked;
}

template <typename... Parameters>
cudaError_t allow_shared(void (*kernel)(Parameters...), std::size_t bytes) {
  if (bytes <= kSharedUnasked) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

#ifdef __CUDACC__
template <typename... Parameters, typename... Arguments>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                   const Arguments&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
}

/// Memory whose size the launch says.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ float4 memory[];
  return reinterpret_cast<T*>(memory);
}
#else
template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulated::dynamic_shared);
}
#endif

/// Starts a kernel. An error of its own leaves no trace for the host to find; one that was there before stays, and
/// nothing is started.
template <typename... Parameters, typename... Arguments>
int start(void (*kernel)(Parameters...), dim3 grid, int threads, std::size_t shared_bytes, cudaStream_t stream,
          const Arguments&... arguments) {
  if (const cudaError_t earlier = cudaPeekAtLastError()) return static_cast<int>(earlier);
  if (allow_shared(kernel, shared_bytes) != cudaSuccess) return static_cast<int>(cudaGetLastError());
  launch_kernel(kernel, grid, dim3(static_cast<unsigned>(threads)), shared_bytes, stream, arguments...);
  return static_cast<int>(cudaGetLastError());
}

/// Loads code that a first launch would load, which may wait for the whole device.
template <typename... Kernels>
int load(Kernels*... kernels) {
  cudaFuncAttributes attributes;
  int error = 0;
  ((error = error != 0 ? error : static_cast<int>(cudaFuncGetAttributes(&attributes, kernels))), ...);
  if (error != 0) (void)cudaGetLastError();  // leaves no trace
  return error;
}

inline cudaStream_t stream_of(Stream stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace gaze::kernels::cuda
