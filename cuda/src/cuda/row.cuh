// SPDX-License-Identifier: MIT
// How a row of weights of all heads goes into the accumulator. attend_reduce takes two launches: the first gives a
// block to every head of every row (and one more for the visible keys), the second one to every tile of cells.
#pragma once

#include "cuda/device.cuh"

namespace gaze::kernels::cuda {

constexpr int kHeadThreads = 128;
constexpr int kCellThreads = 128;

/// Of one head in one row.
struct HeadFigures {
  float mass;   ///< sum over the medium's keys
  float focus;  ///< mass times what its entropy lacks to the largest
  std::int32_t flags;
  std::int32_t any;  ///< some key has a weight
};

/// Written by the first launch, read by the second.
struct Figures {
  HeadFigures* head_th;
  std::int32_t* visible_t;

  static __host__ __device__ std::size_t bytes(std::int64_t queries, std::int64_t heads) {
    const std::size_t all = static_cast<std::size_t>(queries * heads) * sizeof(HeadFigures) +
                            static_cast<std::size_t>(queries) * sizeof(std::int32_t);
    return (all + 255) / 256 * 256;
  }
  static Figures at(void* memory, std::int64_t queries, std::int64_t heads) {
    HeadFigures* const head_th = static_cast<HeadFigures*>(memory);
    return {head_th, reinterpret_cast<std::int32_t*>(head_th + queries * heads)};
  }
};

/// Mass and focus of a head whose weights weight_of(cell) gives; all threads of the block, the result in thread 0.
template <typename WeightOf>
__device__ void measure_head(const WeightOf& weight_of, std::int64_t cells, HeadFigures& head) {
  float sum = 0, part = 0;
  for (std::int64_t c = threadIdx.x; c < cells; c += blockDim.x) {
    const float p = weight_of(c);
    sum += p;
    part += x_log_x(p);
  }
  sum = block_reduce(sum, 0.0f, Sum{});
  part = block_reduce(part, 0.0f, Sum{});
  if (threadIdx.x == 0) {
    head.mass = sum;
    head.focus = sum * static_cast<float>(1 - normalised_entropy(sum, part, cells));
  }
}

/// How one more layer changes a cell.
inline __device__ void add_cell(const Reduction& by, float value, float weight, float* cell) {
  switch (by.layers) {
    case LayerReduce::Mean:
    case LayerReduce::Weighted:
      *cell += weight * value;
      break;
    case LayerReduce::Max:
      *cell = fmaxf(*cell, value);
      break;
    case LayerReduce::Last:
      *cell = value;
      break;
  }
}

/// One thread per row, which counts `share` beside other layers.
inline __device__ void add_totals(const Reduction& by, const AccumulatorRows& to, std::int64_t token, float weight,
                                  float mass, float visible, std::int64_t share) {
  const bool sums = by.layers == LayerReduce::Mean || by.layers == LayerReduce::Weighted;
  to.weight_t[token] = sums ? to.weight_t[token] + weight : 1.0f;
  to.mass_t[token] += mass * static_cast<float>(share);
  to.visible_t[token] += visible * static_cast<float>(share);
  to.calls_t[token] += 1;
  to.rows_t[token] += static_cast<std::int32_t>(share);
}

inline __device__ void add_flags(const AccumulatorRows& to, std::int64_t token, std::int32_t flags) {
  to.flags_t[token] |= flags;
  to.calls_t[token] += 1;
}

/// One call's row `t`, which counts `share` beside other layers; the cells of tile `tile`; weight_of(head, cell). All
/// threads of the block; `factor_h` is shared memory of one float per head.
template <typename WeightOf>
__device__ void add_tile(const WeightOf& weight_of, std::int64_t heads, std::int64_t share, const Figures& figures,
                         const Reduction& by, const AccumulatorRows& to, std::int64_t t, std::int64_t tile,
                         float* factor_h) {
  const HeadFigures* const head = figures.head_th + t * heads;
  // Every thread the same: the heads are few.
  float mass = 0, focus = 0;
  std::int32_t flags = 0, any = 0;
  for (std::int64_t h = 0; h < heads; ++h) {
    mass += head[h].mass;
    focus += head[h].focus;
    flags |= head[h].flags;
    any |= head[h].any;
  }
  if (flags == 0 && any == 0) flags = kRowFullyMasked;
  const bool totals = tile == 0 && threadIdx.x == 0;
  if (flags != 0) {
    if (totals) add_flags(to, t, flags);
    return;
  }
  float total = static_cast<float>(heads);
  if (by.heads == HeadReduce::One) total = 1;
  if (by.heads == HeadReduce::TopK) total = static_cast<float>(by.k < heads ? by.k : heads);
  const bool weighted = by.heads == HeadReduce::Weighted && focus > 0;
  if (weighted) total = focus;
  __syncthreads();  // the factors of an earlier call are still read
  for (std::int64_t h = threadIdx.x; h < heads; h += blockDim.x) {
    float factor = 1;
    if (by.heads == HeadReduce::One) {
      factor = h == by.head ? 1.0f : 0.0f;
    } else if (by.heads == HeadReduce::TopK) {  // ties: lower head first
      std::int64_t ahead = 0;
      for (std::int64_t o = 0; o < heads; ++o) {
        ahead += head[o].focus > head[h].focus || (head[o].focus == head[h].focus && o < h);
      }
      factor = ahead < by.k ? 1.0f : 0.0f;
    } else if (weighted) {
      factor = head[h].focus;
    }
    factor_h[h] = factor / total;
  }
  __syncthreads();

  const float weight =
      by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted ? focus : static_cast<float>(share);
  const std::int64_t c = tile * kCellThreads + threadIdx.x;
  if (c < to.cells) {
    float value = 0;
    if (by.heads == HeadReduce::Max || by.heads == HeadReduce::Min) {
      value = weight_of(0, c);
      for (std::int64_t h = 1; h < heads; ++h) {
        const float p = weight_of(h, c);
        value = by.heads == HeadReduce::Max ? fmaxf(value, p) : fminf(value, p);
      }
    } else {
#pragma unroll 8
      for (std::int64_t h = 0; h < heads; ++h) value = fmaf(factor_h[h], weight_of(h, c), value);
    }
    add_cell(by, value, weight, to.map_tc + t * to.map_stride_t + c);
  }
  if (totals) {
    add_totals(by, to, t, weight, mass / static_cast<float>(heads), static_cast<float>(figures.visible_t[t]), share);
  }
}

}  // namespace gaze::kernels::cuda
