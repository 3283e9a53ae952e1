// SPDX-License-Identifier: MIT
// What the heads of a row in shared memory sum to, how focused they are, and what each counts by that.
#pragma once

#include "cuda/reduce_tile.cuh"

namespace gaze::kernels::cuda {

/// Packs that a lane measures side by side.
constexpr int kSlots = 4;
constexpr float kLeastNormal = 0x1p-126f;

enum State : std::int32_t { kAny = 1, kBroken = 2 };

/// Lane l gets the sum over lanes of sum[l % kSlots].
__device__ inline float slot_sum(float* sum) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int half = kSlots / 2; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float mine = upper ? sum[i + half] : sum[i], theirs = upper ? sum[i] : sum[i + half];
      sum[i] = mine + __shfl_xor_sync(kAllLanes, theirs, half);
    }
  }
#pragma unroll
  for (int step = kSlots; step < kWarp; step *= 2) sum[0] += __shfl_xor_sync(kAllLanes, sum[0], step);
  return sum[0];
}

/// What lanes sum of the heads that they measure side by side.
template <DType T, bool kFocus>
struct Slots {
  /// One pack, whose first key is key `first` of the tile.
  __device__ void add(int slot, const Piece<kPackBytes>& pack, const Tile& tile, int first) {
    constexpr int kKeys = kPackKeys<T>;
    float x[kKeys];
    std::uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < kPackBytes / 4; ++i) {
      bits |= pack.word[i];
      decode_word<T>(pack.word[i], x + i * kWordKeys<T>);
    }
    any |= ((bits & (T == DType::F32 ? 0x7fffffffu : 0x7fff7fffu)) != 0 ? 1u : 0u) << slot;
    float sum = sum_of(x);
    total[slot] += sum;
    if (first < tile.begin || first + kKeys > tile.end) {
#pragma unroll
      for (int i = 0; i < kKeys; ++i) x[i] = first + i >= tile.begin && first + i < tile.end ? x[i] : 0.0f;
      sum = sum_of(x);
    }
    mass[slot] += sum;
    if constexpr (kFocus) {
      float part = 0;
#pragma unroll
      for (int i = 0; i < kKeys; ++i) part = fmaf(x[i], log2_of(fmaxf(x[i], kLeastNormal)), part);
      x_log_x[slot] += part;
    }
  }

  /// Pairwise: the error grows with the logarithm of how many there are.
  static __device__ float sum_of(const float* x) {
    float sum[kPackKeys<T> / 2];
#pragma unroll
    for (int i = 0; i < kPackKeys<T> / 2; ++i) sum[i] = x[2 * i] + x[2 * i + 1];
#pragma unroll
    for (int count = kPackKeys<T> / 4; count > 0; count /= 2) {
#pragma unroll
      for (int i = 0; i < count; ++i) sum[i] += sum[i + count];
    }
    return sum[0];
  }

  float total[kSlots] = {}, mass[kSlots] = {}, x_log_x[kSlots] = {};
  std::uint32_t any = 0;  ///< bit s: some weight of slot s is not 0
};

/// Whether a head of the tile holds NaN or infinity. All lanes of a warp.
template <DType T>
__device__ bool broken(const char* head, int keys) {
  bool found = false;
  for (int k = static_cast<int>(threadIdx.x) % kWarp; k < keys; k += kWarp) {
    found |= !isfinite(element<T>(head, k));
  }
  return __any_sync(kAllLanes, found ? 1 : 0) != 0;
}

/// Adds what the warp's heads hold in this tile to their figures.
template <DType T, bool kFocus>
__device__ void measure_tile(const ReduceParams& p, const Plan& plan, const Tile& tile, bool first_tile,
                             const Shared& shared) {
  const WarpHeads mine(p, plan);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int packs = packs_of<T>(tile), together = 1 << plan.together;
  for (int first = mine.first; first < mine.end; first += together) {
    Slots<T, kFocus> sums;
    for (int i = lane; i < packs; i += kSlots * kWarp >> plan.together) {
#pragma unroll
      for (int s = 0; s < kSlots; ++s) {
        const int h = first + (s & (together - 1)), at = i + (s >> plan.together) * kWarp;
        Piece<kPackBytes> pack = {};
        if (h < mine.end && at < packs) {
          pack = *reinterpret_cast<const Piece<kPackBytes>*>(shared.tile + h * plan.pitch + at * kPackBytes);
        }
        sums.add(s, pack, tile, at * kPackKeys<T>);
      }
    }
    float total = slot_sum(sums.total), mass = slot_sum(sums.mass), x_log_x = kFocus ? slot_sum(sums.x_log_x) : 0;
    std::uint32_t any = sums.any;
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) any |= __shfl_xor_sync(kAllLanes, any, step);
    for (int step = together; step < kSlots; step *= 2) {
      total += __shfl_xor_sync(kAllLanes, total, step);
      mass += __shfl_xor_sync(kAllLanes, mass, step);
      if (kFocus) x_log_x += __shfl_xor_sync(kAllLanes, x_log_x, step);
      any |= any >> step;
    }
    std::int32_t state = (any >> (lane & (together - 1)) & 1) != 0 ? kAny : 0;
    for (int h = first; h < first + together && h < mine.end; ++h) {
      if (__any_sync(kAllLanes, lane == h - first && !isfinite(total) ? 1 : 0) == 0) continue;
      if (broken<T>(shared.tile + h * plan.pitch, tile.keys) && lane == h - first) state |= kBroken;
    }
    const int h = first + lane;
    if (lane < together && h < mine.end) {
      shared.total_h[h] = first_tile ? total : shared.total_h[h] + total;
      shared.mass_h[h] = first_tile ? mass : shared.mass_h[h] + mass;
      if (kFocus) shared.focus_h[h] = first_tile ? x_log_x : shared.focus_h[h] + x_log_x;
      shared.state_h[h] = first_tile ? state : shared.state_h[h] | state;
    }
  }
}

/// A head's focus, as its CPU twin has it.
__device__ inline float focus_of(float mass, float x_log2_x, double most_entropy) {
  constexpr double kLn2 = 0.69314718055994531, kResolution = 1e-6;
  if (!(mass > 0) || !(most_entropy > 0)) return mass;
  const double sum = static_cast<double>(mass);
  const double share = (log(sum) - kLn2 * static_cast<double>(x_log2_x) / sum) / most_entropy;
  return static_cast<float>(sum * (share < kResolution ? 1 : share > 1 - kResolution ? 0 : 1 - share));
}

/// What each head's weights count, over heads 1.
template <bool kFocus>
__device__ void find_factors(const ReduceParams& p, float focus, const Shared& shared) {
  const int heads = static_cast<int>(p.heads);
  const bool weighted = kFocus && p.by.heads == HeadReduce::Weighted && focus > 0;
  const bool top = kFocus && p.by.heads == HeadReduce::TopK;
  for (int h = static_cast<int>(threadIdx.x); h < heads; h += static_cast<int>(blockDim.x)) {
    float factor = 1 / static_cast<float>(heads);
    if (p.by.heads == HeadReduce::One) factor = h == p.by.head ? 1.0f : 0.0f;
    if (weighted) factor = shared.focus_h[h] / focus;
    if (top) {  // ties: lower head first
      int ahead = 0;
      for (int o = 0; o < heads; ++o) {
        ahead += shared.focus_h[o] > shared.focus_h[h] || (shared.focus_h[o] == shared.focus_h[h] && o < h);
      }
      factor = ahead < p.by.k ? 1 / static_cast<float>(p.by.k < heads ? p.by.k : heads) : 0.0f;
    }
    shared.factor_h[h] = factor;
  }
  __syncthreads();
}

/// When every head of the row is measured: its flags. All threads of the block, the same result in each.
template <bool kFocus>
__device__ std::int32_t finish_heads(const ReduceParams& p, const Plan& plan, const Shared& shared) {
  __syncthreads();
  const int heads = static_cast<int>(p.heads);
  if (kFocus) {
    for (int h = static_cast<int>(threadIdx.x); h < heads; h += static_cast<int>(blockDim.x)) {
      shared.focus_h[h] = focus_of(shared.mass_h[h], shared.focus_h[h], plan.most_entropy);
    }
    __syncthreads();
  }
  RowFigures row = {};
  std::int32_t any = 0;
  for (int h = static_cast<int>(threadIdx.x) % kWarp; h < heads; h += kWarp) {
    const float total = shared.total_h[h];
    const std::int32_t state = shared.state_h[h];
    any |= state & kAny;
    if ((state & kBroken) != 0) {
      row.flags |= kRowNonFinite;
    } else if ((state & kAny) != 0 && !(total >= p.sum_least && total <= p.sum_most)) {
      row.flags |= kRowSum;
    }
    row.mass += shared.mass_h[h];
    if (kFocus) row.focus += shared.focus_h[h];
  }
  row.mass = warp_sum(row.mass);
  if (kFocus) row.focus = warp_sum(row.focus);
  row.flags |= any << 8;
  for (int step = kWarp / 2; step > 0; step /= 2) row.flags |= __shfl_xor_sync(kAllLanes, row.flags, step);
  row.flags = row.flags == 0 ? kRowFullyMasked : row.flags & 0xff;
  if (threadIdx.x == 0) *shared.row = row;
  find_factors<kFocus>(p, row.focus, shared);
  return row.flags;
}

}  // namespace gaze::kernels::cuda
