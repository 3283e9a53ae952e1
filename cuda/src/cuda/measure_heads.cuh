// SPDX-License-Identifier: MIT
// The second launch of attend: scores of a row of a head become weights.
#pragma once

#include "cuda/score.cuh"

namespace gaze::kernels::cuda {

constexpr int kHeadThreads = 128;
constexpr int kHeadWarps = kHeadThreads / kWarp;
/// Rows of no more keys are a warp's: a block's threads would wait for each other longer than they work.
constexpr std::int64_t kKeysOfAWarp = 256;

/// The threads that share a row: a warp's, which need no barrier, or a block's.
template <bool Warp>
struct Sharers {
  __device__ static std::int64_t first() { return static_cast<int>(threadIdx.x) % step(); }
  __device__ static int step() { return Warp ? kWarp : kHeadThreads; }
  template <typename T>
  __device__ static T sum(T x) {
    return Warp ? warp_sum(x) : block_reduce(x, T(0), Sum{});
  }
};

/// A row of a head, from its tiles.
struct RowSoftmax {
  float top, factor;
  bool non_finite, any;
};

/// All threads of a block, each warp for itself.
__device__ inline RowSoftmax join(const Partial* tile, std::int64_t tiles) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float top = -INFINITY;
  bool nan = false;
  for (std::int64_t i = lane; i < tiles; i += kWarp) {
    nan |= isnan(tile[i].top);
    top = fmaxf(top, tile[i].top);
  }
  nan = __any_sync(kAllLanes, nan) != 0;
  top = warp_max(top);
  float sum = 0;
  for (std::int64_t i = lane; i < tiles && top != -INFINITY; i += kWarp) {
    if (tile[i].top != -INFINITY) sum += tile[i].sum * expf(tile[i].top - top);
  }
  sum = warp_sum(sum);
  RowSoftmax row;
  row.non_finite = nan || top == INFINITY || !isfinite(sum);
  row.any = !row.non_finite && top != -INFINITY;
  row.top = top;
  row.factor = row.any ? 1 / sum : 0.0f;
  return row;
}

/// Keys that some head may see.
template <typename Shared>
__device__ std::int64_t count_visible(const Call& call, std::int64_t b, std::int64_t t) {
  const std::int64_t limit = call.limit(t);
  if (call.mask == nullptr) return limit;
  int above = 0, not_masked = 0;
  for (std::int64_t i = Shared::first(); i < limit; i += Shared::step()) {
    float best = -INFINITY;
    const std::int64_t heads = call.mask_stride_h == 0 ? 1 : call.pick.some ? call.all_heads : call.heads;
    for (std::int64_t h = 0; h < heads; ++h) {
      const float m =
          mask_value(call.mask, call.mask_dtype,
                     b * call.mask_stride_b + h * call.mask_stride_h + t * call.mask_stride_q + i * call.mask_stride_k);
      best = m > best ? m : best;
    }
    above += best > kAsGoodAsMasked ? 1 : 0;
    not_masked += best > -INFINITY ? 1 : 0;
  }
  above = Shared::sum(above);
  not_masked = Shared::sum(not_masked);
  return above > 0 ? above : not_masked;
}

/// A row of a head: its scores become weights, of which mass and focus are found.
template <typename Shared>
__device__ HeadFigures measure_head(const Call& call, std::int64_t b, std::int64_t t, std::int64_t h) {
  const RowSoftmax row = join(call.partials_of(b) + (t * call.heads + h) * call.tiles(), call.tiles());
  float* const row_c = call.scores_of(b) + t * call.score_stride_t + h * call.score_stride_h;
  float sum = 0, part = 0;
  for (std::int64_t c = Shared::first(); c < call.cells; c += Shared::step()) {
    const float weight = row.any ? expf(row_c[c] - row.top) * row.factor : 0.0f;
    row_c[c] = weight;
    sum += weight;
    part += x_log_x(weight);
  }
  sum = Shared::sum(sum);
  part = Shared::sum(part);
  HeadFigures head = {sum, 0, row.non_finite ? kRowNonFinite : 0, row.any ? 1 : 0};
  if (Shared::first() == 0) head.focus = sum * static_cast<float>(1 - normalised_entropy(sum, part, call.cells));
  return head;
}

/// Block (t, head or kHeadWarps of them, call and batch row); behind the heads, the row's visible keys.
template <int Room, bool Apart, bool Warp>
__global__ void __launch_bounds__(kHeadThreads) measure_heads(const __grid_constant__ Calls<Room, Apart> calls) {
  using Shared = Sharers<Warp>;
  const Call& call = calls.call[static_cast<int>(blockIdx.z) / calls.rows];
  const std::int64_t b = static_cast<int>(blockIdx.z) % calls.rows;
  const std::int64_t t = blockIdx.x, heads = call.heads;
  const std::int64_t h = Warp ? std::int64_t{blockIdx.y} * kHeadWarps + threadIdx.x / kWarp : blockIdx.y;
  if (h > heads) return;
  const Figures figures = call.figures_of(b);
  if (h == heads) {
    const std::int64_t visible = count_visible<Shared>(call, b, t);
    if (Shared::first() == 0) figures.visible_t[t] = static_cast<std::int32_t>(visible);
    return;
  }
  const HeadFigures head = measure_head<Shared>(call, b, t, h);
  if (Shared::first() == 0) figures.head_th[t * heads + h] = head;
}

/// Scores to weights where they lie: a row of a head per block.
static __global__ void softmax_rows(const __grid_constant__ Call call) {
  const std::int64_t t = blockIdx.x, h = blockIdx.y;
  const RowSoftmax row = join(call.partials + (t * call.heads + h) * call.tiles(), call.tiles());
  float* const row_k = call.scores + t * call.score_stride_t + h * call.score_stride_h;
  for (std::int64_t i = threadIdx.x; i < call.cells; i += blockDim.x) {
    row_k[i] = row.non_finite ? NAN : row.any ? expf(row_k[i] - row.top) * row.factor : 0.0f;
  }
}

}  // namespace gaze::kernels::cuda
