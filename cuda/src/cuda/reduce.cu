// SPDX-License-Identifier: MIT
#include "cuda/row.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kMostThreads = 1024;

/// Flags from what a head's row sums to. `any`: some weight of the head is not 0.
__device__ std::int32_t flags_of(float total, bool any, const ReduceParams& p) {
  if (!isfinite(total)) return kRowNonFinite;
  return any && (total < p.sum_least || total > p.sum_most) ? kRowSum : 0;
}

/// Block (t, h): sums of a head. Block (t, heads): the row's visible keys.
template <DType T>
__global__ void __launch_bounds__(kHeadThreads) measure_heads(const ReduceParams p, const Figures figures) {
  const std::int64_t t = blockIdx.x, h = blockIdx.y;
  const std::int64_t row = t * p.stride_q;
  if (h == p.heads) {
    const std::int64_t heads = p.pick.some ? p.all_heads : p.heads;
    int visible = 0;
    for (std::int64_t k = threadIdx.x; k < p.keys; k += blockDim.x) {
      bool seen = false;
      for (std::int64_t o = 0; o < heads && !seen; ++o) {
        seen = element<T>(p.attn_hqk, o * p.stride_h + row + k * p.stride_k) != 0;
      }
      visible += seen ? 1 : 0;
    }
    visible = block_reduce(visible, 0, Sum{});
    if (threadIdx.x == 0) figures.visible_t[t] = visible;
    return;
  }
  const std::int64_t from = p.pick[h] * p.stride_h + row;
  float total = 0;
  bool any = false;
  for (std::int64_t k = threadIdx.x; k < p.keys; k += blockDim.x) {
    const float x = element<T>(p.attn_hqk, from + k * p.stride_k);
    total += x;
    any |= x != 0;
  }
  total = block_reduce(total, 0.0f, Sum{});
  any = __syncthreads_or(any ? 1 : 0) != 0;
  HeadFigures head = {0, 0, flags_of(total, any, p), any ? 1 : 0};
  measure_head([&](std::int64_t c) { return element<T>(p.attn_hqk, from + (p.first_key + c) * p.stride_k); },
               p.to.cells, head);
  if (threadIdx.x == 0) figures.head_th[t * p.heads + h] = head;
}

template <DType T>
__global__ void __launch_bounds__(kCellThreads) add_cells(const ReduceParams p, const Figures figures) {
  float* const factor_h = dynamic_shared<float>();
  const std::int64_t t = blockIdx.x;
  const auto weight_of = [&](std::int64_t h, std::int64_t c) {
    return element<T>(p.attn_hqk, p.pick[h] * p.stride_h + t * p.stride_q + (p.first_key + c) * p.stride_k);
  };
  add_tile(weight_of, p.heads, p.pick.share(p.heads), figures, p.by, p.to, t, blockIdx.y, factor_h);
}

/// Adjacent keys in one load.
template <DType T, int Width>
struct alignas(Width * sizeof(typename Element<T>::Bits)) Pack {
  typename Element<T>::Bits bits[Width];
};

/// What the heads up to h make of a key: `x` is head h's weight, `before` what those before it made.
__device__ float with_head(const Reduction& by, std::int64_t h, float x, float before) {
  switch (by.heads) {
    case HeadReduce::Max:
      return h == 0 ? x : fmaxf(before, x);
    case HeadReduce::Min:
      return h == 0 ? x : fminf(before, x);
    case HeadReduce::One:
      return h == by.head ? x : before;
    default:
      return before + x;
  }
}

/// Mean, Max, Min and One of all heads need no figures of a head before its weights are added: everything in one read,
/// the row in registers. One block per row, Width adjacent keys per thread.
template <DType T, int Width>
__global__ void __launch_bounds__(kMostThreads) reduce_rows_once(const ReduceParams p) {
  float* const total_h = dynamic_shared<float>();
  float* const mass_h = total_h + p.heads;
  int* const any_h = reinterpret_cast<int*>(mass_h + p.heads);
  for (std::int64_t h = threadIdx.x; h < p.heads; h += blockDim.x) {
    total_h[h] = mass_h[h] = 0;
    any_h[h] = 0;
  }
  __syncthreads();
  const std::int64_t t = blockIdx.x;
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * Width;
  const bool here = first < p.keys;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float value[Width] = {};
  std::uint32_t seen = 0;
  const char* from = static_cast<const char*>(p.attn_hqk) +
                     (t * p.stride_q + first) * static_cast<std::int64_t>(sizeof(typename Element<T>::Bits));
  const std::int64_t step = p.stride_h * static_cast<std::int64_t>(sizeof(typename Element<T>::Bits));
#pragma unroll 4
  for (std::int64_t h = 0; h < p.heads; ++h) {
    Pack<T, Width> pack = {};
    if (here) pack = *reinterpret_cast<const Pack<T, Width>*>(from + h * step);
    float total = 0, mass = 0;
    std::uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const float x = Element<T>::decode(pack.bits[i]);
      const std::int64_t cell = first + i - p.first_key;
      total += x;
      mass += cell >= 0 && cell < p.to.cells ? x : 0.0f;
      bits |= (x != 0 ? 1u : 0u) << i;
      value[i] = with_head(p.by, h, x, value[i]);
    }
    seen |= bits;
    total = warp_sum(total);
    mass = warp_sum(mass);
    const bool any = __any_sync(kAllLanes, bits != 0) != 0;
    if (lane == 0) {
      atomicAdd(total_h + h, total);
      atomicAdd(mass_h + h, mass);
      if (any) any_h[h] = 1;
    }
  }
  __syncthreads();
  std::int32_t flags = 0;
  int any = 0;
  for (std::int64_t h = threadIdx.x; h < p.heads; h += blockDim.x) {
    flags |= flags_of(total_h[h], any_h[h] != 0, p);
    any |= any_h[h];
  }
  const bool non_finite = __syncthreads_or(flags & kRowNonFinite) != 0;
  const bool wrong_sum = __syncthreads_or(flags & kRowSum) != 0;
  any = __syncthreads_or(any);
  flags = (non_finite ? kRowNonFinite : 0) | (wrong_sum ? kRowSum : 0);
  if (flags == 0 && any == 0) flags = kRowFullyMasked;
  if (flags != 0) {
    if (threadIdx.x == 0) add_flags(p.to, t, flags);
    return;
  }
  const int visible = block_reduce(static_cast<int>(__popc(seen)), 0, Sum{});
  const float factor = p.by.heads == HeadReduce::Mean ? 1 / static_cast<float>(p.heads) : 1.0f;
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    const std::int64_t cell = first + i - p.first_key;
    if (here && cell >= 0 && cell < p.to.cells) {
      add_cell(p.by, value[i] * factor, 1, p.to.map_tc + t * p.to.map_stride_t + cell);
    }
  }
  if (threadIdx.x == 0) {
    float mass = 0;
    for (std::int64_t h = 0; h < p.heads; ++h) mass += mass_h[h];
    add_totals(p.by, p.to, t, 1, mass / static_cast<float>(p.heads), static_cast<float>(visible), 1);
  }
}

/// Whether every row starts where a load of Width keys may.
template <DType T, int Width>
bool fits(const ReduceParams& p) {
  constexpr std::int64_t kBytes = Width * static_cast<std::int64_t>(sizeof(typename Element<T>::Bits));
  const auto bytes_of = [](std::int64_t stride) {
    return stride * static_cast<std::int64_t>(sizeof(typename Element<T>::Bits));
  };
  return reinterpret_cast<std::uintptr_t>(p.attn_hqk) % kBytes == 0 && bytes_of(p.stride_h) % kBytes == 0 &&
         bytes_of(p.stride_q) % kBytes == 0 && p.keys % Width == 0 && p.keys <= Width * kMostThreads;
}

template <DType T, int Width>
int launch_once(const ReduceParams& p, cudaStream_t stream) {
  const std::int64_t threads = divide_up(divide_up(p.keys, Width), kWarp) * kWarp;
  return start(reduce_rows_once<T, Width>, grid_of(p.queries), static_cast<int>(threads),
               static_cast<std::size_t>(3 * p.heads) * sizeof(float), stream, p);
}

template <DType T>
int launch(const ReduceParams& p, void* workspace, cudaStream_t stream) {
  constexpr int kWidest = 16 / static_cast<int>(sizeof(typename Element<T>::Bits));
  const bool needs_figures = p.by.heads == HeadReduce::Weighted || p.by.heads == HeadReduce::TopK || p.pick.some;
  if (!needs_figures && p.stride_k == 1) {
    if (fits<T, kWidest>(p)) return launch_once<T, kWidest>(p, stream);
    if (fits<T, 1>(p)) return launch_once<T, 1>(p, stream);
  }
  const Figures figures = Figures::at(workspace, p.queries, p.heads);
  if (const int error = start(measure_heads<T>, grid_of(p.queries, p.heads + 1), kHeadThreads, 0, stream, p, figures)) {
    return error;
  }
  return start(add_cells<T>, grid_of(p.queries, divide_up(p.to.cells, kCellThreads)), kCellThreads,
               static_cast<std::size_t>(p.heads) * sizeof(float), stream, p, figures);
}

}  // namespace

std::size_t reduce_workspace(const ReduceParams& p) { return Figures::bytes(p.queries, p.heads); }

int reduce(const ReduceParams& p, void* workspace, Stream stream) {
  if (p.queries == 0) return 0;
  switch (p.dtype) {
    case DType::F32:
      return launch<DType::F32>(p, workspace, stream_of(stream));
    case DType::F16:
      return launch<DType::F16>(p, workspace, stream_of(stream));
    default:
      return launch<DType::BF16>(p, workspace, stream_of(stream));
  }
}

}  // namespace gaze::kernels::cuda
