// SPDX-License-Identifier: MIT
// The third launch of attend: weights of all heads and layers are added to the cells.
#pragma once

#include "cuda/score.cuh"

namespace gaze::kernels::cuda {

constexpr int kMostSumWarps = 16;  ///< that share the heads and layers of kWarp cells

/// A row of one layer, from its heads.
struct RowFigures {
  float mass, focus;
  std::int32_t flags;
};

/// All lanes of a warp.
__device__ inline RowFigures join(const HeadFigures* head, std::int64_t heads) {
  float mass = 0, focus = 0;
  std::int32_t flags = 0, any = 0;
  for (std::int64_t h = static_cast<int>(threadIdx.x) % kWarp; h < heads; h += kWarp) {
    mass += head[h].mass;
    focus += head[h].focus;
    flags |= head[h].flags;
    any |= head[h].any;
  }
  const bool non_finite = __any_sync(kAllLanes, flags & kRowNonFinite) != 0;
  const bool seen = __any_sync(kAllLanes, any) != 0;
  return {warp_sum(mass), warp_sum(focus), non_finite ? kRowNonFinite : seen ? 0 : kRowFullyMasked};
}

/// What head `h` counts in its row; of all lanes at once, each with a head of its own.
__device__ inline float factor_of(const Reduction& by, const HeadFigures* head, std::int64_t heads, std::int64_t h,
                                  float focus) {
  if (h >= heads) return 0;
  switch (by.heads) {
    case HeadReduce::One:
      return h == by.head ? 1.0f : 0.0f;
    case HeadReduce::TopK: {  // ties: lower head first
      std::int64_t ahead = 0;
      for (std::int64_t o = 0; o < heads; ++o) {
        ahead += head[o].focus > head[h].focus || (head[o].focus == head[h].focus && o < h);
      }
      return ahead < by.k ? 1 / static_cast<float>(by.k < heads ? by.k : heads) : 0.0f;
    }
    case HeadReduce::Weighted:
      if (focus > 0) return head[h].focus / focus;
      [[fallthrough]];
    default:
      return 1 / static_cast<float>(heads);
  }
}

/// How heads, and layers, meet in a cell; sums but for the greatest and the least.
struct Meet {
  bool most, least;
  __device__ explicit Meet(HeadReduce by) : most(by == HeadReduce::Max), least(by == HeadReduce::Min) {}
  __device__ explicit Meet(LayerReduce by) : most(by == LayerReduce::Max), least(false) {}
  __device__ float neutral() const { return most ? -INFINITY : least ? INFINITY : 0.0f; }
  __device__ float operator()(float a, float b) const { return most ? fmaxf(a, b) : least ? fminf(a, b) : a + b; }
};

/// One cell of one row of a layer, over its heads `first`, `first` + `step`...
__device__ inline float cell_of(const Call& call, const Reduction& by, const HeadFigures* head, float focus,
                                const float* weight_hc, std::int64_t c, int first, int step) {
  const Meet meet(by.heads);
  float value = meet.neutral();
  for (std::int64_t h0 = 0; h0 < call.heads; h0 += kWarp) {
    const std::int64_t rest = call.heads - h0;
    const int count = static_cast<int>(rest < kWarp ? rest : kWarp);
    const float factor = factor_of(by, head, call.heads, h0 + static_cast<int>(threadIdx.x) % kWarp, focus);
#pragma unroll 8
    for (int h = first; h < count; h += step) {
      const float of_head = __shfl_sync(kAllLanes, factor, h);
      const float weight = c < call.cells ? weight_hc[(h0 + h) * call.score_stride_h + c] : 0.0f;
      value = meet.most || meet.least ? meet(value, weight) : fmaf(of_head, weight, value);
    }
  }
  return value;
}

/// What some layers add to the figures of a row.
struct LayerSums {
  float weight, mass, visible;
  std::int32_t calls, flags, rows;
  int last;  ///< the latest of them without a flag; -1: there is none
};

/// A row's figures, once its warps are done.
__device__ inline void add_sums(const Reduction& by, const AccumulatorRows& to, std::int64_t t, const LayerSums* sums_w,
                                int warps) {
  LayerSums all = {0, 0, 0, 0, 0, 0, -1};
  for (int w = 0; w < warps; ++w) {
    all.weight += sums_w[w].weight;
    all.mass += sums_w[w].mass;
    all.visible += sums_w[w].visible;
    all.calls += sums_w[w].calls;
    all.flags |= sums_w[w].flags;
    all.rows += sums_w[w].rows;
    all.last = all.last < sums_w[w].last ? sums_w[w].last : all.last;
  }
  to.calls_t[t] += all.calls;
  to.flags_t[t] |= all.flags;
  if (all.last < 0) return;
  const bool sums = by.layers == LayerReduce::Mean || by.layers == LayerReduce::Weighted;
  to.weight_t[t] = sums ? to.weight_t[t] + all.weight : 1.0f;
  to.mass_t[t] += all.mass;
  to.visible_t[t] += all.visible;
  to.rows_t[t] += all.rows;
}

/// Block (t, kWarp cells, batch row). Warps share the layers, or the heads of a single one; their parts are put
/// together in order, so that the result is the same every time.
template <int Room, bool Apart>
__global__ void __launch_bounds__(kMostSumWarps* kWarp) add_cells(const __grid_constant__ Calls<Room, Apart> calls) {
  __shared__ float value_wc[kMostSumWarps][kWarp];
  __shared__ LayerSums sums_w[kMostSumWarps];
  const Reduction& by = calls.by;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t t = blockIdx.x, b = blockIdx.z, c = static_cast<std::int64_t>(blockIdx.y) * kWarp + lane;
  const bool alone = calls.count == 1, last_layer = by.layers == LayerReduce::Last;
  const Meet layers(by.layers);
  LayerSums sums = {0, 0, 0, 0, 0, 0, -1};
  float value = alone ? Meet(by.heads).neutral() : layers.neutral();
  for (int n = alone ? 0 : warp; n < calls.count; n += alone ? 1 : warps) {
    const Call& call = calls.call[n];
    const Figures figures = call.figures_of(b);
    const HeadFigures* const head = figures.head_th + t * call.heads;
    const RowFigures row = join(head, call.heads);
    ++sums.calls;
    sums.flags |= row.flags;
    if (row.flags != 0) continue;
    const auto share = static_cast<float>(call.pick.share(call.heads));
    const float weight = by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted ? row.focus : share;
    sums.weight += weight;
    sums.mass += row.mass / static_cast<float>(call.heads) * share;
    sums.visible += static_cast<float>(figures.visible_t[t]) * share;
    sums.rows += static_cast<std::int32_t>(share);
    sums.last = n;
    const float of_layer = cell_of(call, by, head, row.focus, call.scores_of(b) + t * call.score_stride_t, c,
                                   alone ? warp : 0, alone ? warps : 1);
    value = alone || last_layer ? of_layer : layers(value, layers.most ? of_layer : weight * of_layer);
  }
  value_wc[warp][lane] = value;
  if (lane == 0) sums_w[warp] = sums;
  __syncthreads();
  if (warp != 0) return;
  const AccumulatorRows to = shifted(calls.to, calls.offset_b[b]);
  int last = -1, latest = 0;
  const Meet meet = alone ? Meet(by.heads) : layers;
  value = meet.neutral();
  for (int w = 0; w < warps; ++w) {
    if (sums_w[w].last > last) last = sums_w[latest = w].last;
    if (sums_w[w].last >= 0) value = meet(value, value_wc[w][lane]);
  }
  if (!alone && last_layer) value = value_wc[latest][lane];
  if (last >= 0 && c < to.cells) {
    add_cell(by, value, alone ? sums.weight : 1.0f, to.map_tc + t * to.map_stride_t + c);
  }
  if (blockIdx.y == 0 && lane == 0) add_sums(by, to, t, sums_w, alone ? 1 : warps);
}

}  // namespace gaze::kernels::cuda
