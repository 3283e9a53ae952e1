// SPDX-License-Identifier: MIT
// Scores of the wanted rows, one key tile and one kv head per block; then the softmax of each head, then the sum over
// heads. The layers of one flush share the three launches.
#include <algorithm>

#include "cuda/row.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kKeys = 64;   ///< keys of a tile; two threads share a key, each has half of a chunk
constexpr int kChunk = 64;  ///< of a head's size that lies in shared memory at a time
constexpr int kHalf = kChunk / 2;
constexpr int kScoreThreads = 2 * kKeys;

/// Of the keys of one tile, for one row of one head. A NaN among the scores makes `top` NaN.
struct Partial {
  float top, sum;
};

/// One attention call and where its scores go.
struct Call {
  AttendParams a;
  float* scores;  ///< of keys first_key.. of row t, head h at t * stride_t + h * stride_h
  std::int64_t stride_t, stride_h;
  std::int64_t first_key, cells;
  Partial* partials;  ///< [queries, heads, tiles]
  std::int64_t tiles;
  bool wide_keys;
  Figures figures;
};

/// Of one launch. A single call does not carry room for many through the driver.
template <int Room>
struct Calls {
  Call call[Room];
  int count;
  Reduction by;
  AccumulatorRows to;
};

__device__ std::int64_t row_limit(const AttendParams& a, std::int64_t t) {
  const std::int64_t limit = a.first_query + t + 1;
  return a.causal && limit < a.keys ? limit : a.keys;
}

/// A row of a head, from its tiles.
struct RowSoftmax {
  float top, factor;
  bool non_finite, any;
};

__device__ RowSoftmax join(const Partial* tile, std::int64_t tiles) {
  float top = -INFINITY;
  bool nan = false;
  for (std::int64_t i = 0; i < tiles; ++i) {
    nan |= isnan(tile[i].top);
    top = fmaxf(top, tile[i].top);
  }
  float sum = 0;
  if (top != -INFINITY) {
    for (std::int64_t i = 0; i < tiles; ++i) {
      if (tile[i].top != -INFINITY) sum += tile[i].sum * expf(tile[i].top - top);
    }
  }
  RowSoftmax row;
  row.non_finite = nan || top == INFINITY || !isfinite(sum);
  row.any = !row.non_finite && top != -INFINITY;
  row.top = top;
  row.factor = row.any ? 1 / sum : 0.0f;
  return row;
}

/// Keys that some head may see.
__device__ std::int64_t count_visible(const AttendParams& a, std::int64_t t) {
  const std::int64_t limit = row_limit(a, t);
  if (a.mask_hqk == nullptr) return limit;
  int above = 0, not_masked = 0;
  for (std::int64_t i = threadIdx.x; i < limit; i += blockDim.x) {
    float best = -INFINITY;
    const std::int64_t heads = a.mask_stride_h == 0 ? 1 : a.q_pick.some ? a.all_heads : a.heads;
    for (std::int64_t h = 0; h < heads; ++h) {
      const float m =
          mask_value(a.mask_hqk, a.mask_dtype, h * a.mask_stride_h + t * a.mask_stride_q + i * a.mask_stride_k);
      best = m > best ? m : best;
    }
    above += best > kAsGoodAsMasked ? 1 : 0;
    not_masked += best > -INFINITY ? 1 : 0;
  }
  above = block_reduce(above, 0, Sum{});
  not_masked = block_reduce(not_masked, 0, Sum{});
  return above > 0 ? above : not_masked;
}

/// Elements [d0, d0 + kChunk) of kKeys keys; what lies behind an end counts as 0.
template <DType T>
__device__ void load_keys(const Call& call, std::int64_t kv, std::int64_t first, std::int64_t d0,
                          float (&k_cd)[kKeys][kChunk + 1]) {
  using Bits = typename Element<T>::Bits;
  constexpr int kWide = 16 / static_cast<int>(sizeof(Bits));
  const AttendParams& a = call.a;
  const std::int64_t from = a.k_pick[kv] * a.k_stride_h + first * a.k_stride_k;
  const int size = static_cast<int>(a.size - d0 < kChunk ? a.size - d0 : kChunk);
  const int keys = static_cast<int>(a.keys - first < kKeys ? a.keys - first : kKeys);
  if (call.wide_keys) {
    struct alignas(16) Pack {
      Bits bits[kWide];
    };
    constexpr int kPacks = kKeys * kChunk / kWide / kScoreThreads;
    Pack pack[kPacks] = {};
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const int at = (n * kScoreThreads + static_cast<int>(threadIdx.x)) * kWide;
      const int row = at / kChunk, d = at % kChunk;
      if (row < keys && d < size) {
        pack[n] =
            *reinterpret_cast<const Pack*>(static_cast<const Bits*>(a.k_hkd) + from + row * a.k_stride_k + d0 + d);
      }
    }
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const int at = (n * kScoreThreads + static_cast<int>(threadIdx.x)) * kWide;
#pragma unroll
      for (int j = 0; j < kWide; ++j) k_cd[at / kChunk][at % kChunk + j] = Element<T>::decode(pack[n].bits[j]);
    }
    return;
  }
#pragma unroll 8
  for (int at = static_cast<int>(threadIdx.x); at < kKeys * kChunk; at += kScoreThreads) {
    const int row = at / kChunk, d = at % kChunk;
    k_cd[row][d] =
        row < keys && d < size ? element<T>(a.k_hkd, from + row * a.k_stride_k + (d0 + d) * a.k_stride_d) : 0.0f;
  }
}

/// Whether 16 bytes of a key can be loaded at once.
bool wide_keys(const AttendParams& a) {
  const std::int64_t bytes = a.dtype == DType::F32 ? 4 : 2;
  return a.k_stride_d == 1 && reinterpret_cast<std::uintptr_t>(a.k_hkd) % 16 == 0 && a.size * bytes % 16 == 0 &&
         a.k_stride_h * bytes % 16 == 0 && a.k_stride_k * bytes % 16 == 0;
}

/// Rows r = t * group + g of a kv head, Rows at a time; all threads of the block.
template <DType T, int Rows>
__device__ void score_tile(const Call& call, std::int64_t kv, std::int64_t tile) {
  __shared__ float k_cd[kKeys][kChunk + 1];
  __shared__ float4 q_rd4[Rows][kChunk / 4];
  __shared__ float half_rk[Rows][kKeys];
  const AttendParams& a = call.a;
  const std::int64_t group = a.heads / a.kv_heads, rows = a.queries * group;
  const int key = static_cast<int>(threadIdx.x) % kKeys, half = static_cast<int>(threadIdx.x) / kKeys;
  const std::int64_t first = tile * kKeys, i = first + key;
  for (std::int64_t r0 = 0; r0 < rows; r0 += Rows) {
    float dot[Rows] = {};
    for (std::int64_t d0 = 0; d0 < a.size; d0 += kChunk) {
      const int size = static_cast<int>(a.size - d0 < kChunk ? a.size - d0 : kChunk);
      __syncthreads();
      load_keys<T>(call, kv, first, d0, k_cd);
      for (int at = static_cast<int>(threadIdx.x); at < Rows * kChunk; at += kScoreThreads) {
        const int row = at / kChunk, d = at % kChunk;
        const std::int64_t r = r0 + row, t = r / group, h = kv * group + r % group;
        const bool here = d < size && r < rows;
        reinterpret_cast<float*>(q_rd4[row])[d] =
            here ? element<T>(a.q_hqd, a.q_pick[h] * a.q_stride_h + t * a.q_stride_q + (d0 + d) * a.q_stride_d) : 0.0f;
      }
      __syncthreads();
#pragma unroll 2
      for (int d = half * kHalf; d < (half + 1) * kHalf; d += 4) {
        const float k0 = k_cd[key][d], k1 = k_cd[key][d + 1], k2 = k_cd[key][d + 2], k3 = k_cd[key][d + 3];
#pragma unroll
        for (int r = 0; r < Rows; ++r) {
          const float4 q = q_rd4[r][d / 4];
          dot[r] = fmaf(q.w, k3, fmaf(q.z, k2, fmaf(q.y, k1, fmaf(q.x, k0, dot[r]))));
        }
      }
    }
    if (half == 1) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) half_rk[r][key] = dot[r];
    }
    __syncthreads();
    if (half == 0) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        if (r0 + r >= rows) break;
        const std::int64_t t = (r0 + r) / group, h = kv * group + (r0 + r) % group;
        float score = -INFINITY;
        if (i < row_limit(a, t)) {
          const float mask =
              a.mask_hqk == nullptr
                  ? 0.0f
                  : mask_value(a.mask_hqk, a.mask_dtype,
                               a.q_pick[h] * a.mask_stride_h + t * a.mask_stride_q + i * a.mask_stride_k);
          // What an unused part of a cache holds does not matter: a masked key's score is never used.
          if (mask != -INFINITY) score = (dot[r] + half_rk[r][key]) * a.scale + mask;
        }
        const std::int64_t cell = i - call.first_key;
        if (i < a.keys && cell >= 0 && cell < call.cells) {
          call.scores[t * call.stride_t + h * call.stride_h + cell] = score;
        }
        half_rk[r][key] = score;
      }
    }
    __syncthreads();
    // A warp per row: top and sum of the tile.
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int r = static_cast<int>(threadIdx.x) / kWarp; r < Rows && r0 + r < rows; r += kScoreThreads / kWarp) {
      const float x0 = half_rk[r][lane], x1 = half_rk[r][lane + kWarp];
      const bool nan = __any_sync(kAllLanes, isnan(x0) || isnan(x1)) != 0;
      const float top = warp_max(fmaxf(x0, x1));
      float sum = 0;
      if (top != -INFINITY) sum = warp_sum(expf(x0 - top) + expf(x1 - top));
      if (lane == 0) {
        const std::int64_t t = (r0 + r) / group, h = kv * group + (r0 + r) % group;
        call.partials[(t * a.heads + h) * call.tiles + tile] = {nan ? NAN : top, sum};
      }
    }
  }
}

template <DType T, int Rows, int Room>
__global__ void __launch_bounds__(kScoreThreads) score_keys(const __grid_constant__ Calls<Room> calls) {
  const Call& call = calls.call[blockIdx.z];
  // Calls of one launch may differ in keys and kv heads: the grid has room for the largest.
  if (static_cast<std::int64_t>(blockIdx.x) >= call.tiles || static_cast<std::int64_t>(blockIdx.y) >= call.a.kv_heads) {
    return;
  }
  score_tile<T, Rows>(call, blockIdx.y, blockIdx.x);
}

/// Block (t, h, call): scores of a head become weights, and its figures. Block (t, heads, call): the row's visible
/// keys.
template <int Room>
__global__ void __launch_bounds__(kHeadThreads) measure_heads(const __grid_constant__ Calls<Room> calls) {
  const Call& call = calls.call[blockIdx.z];
  const std::int64_t t = blockIdx.x, h = blockIdx.y, heads = call.a.heads;
  if (h > heads) return;
  if (h == heads) {
    const std::int64_t visible = count_visible(call.a, t);
    if (threadIdx.x == 0) call.figures.visible_t[t] = static_cast<std::int32_t>(visible);
    return;
  }
  const RowSoftmax row = join(call.partials + (t * heads + h) * call.tiles, call.tiles);
  float* const row_c = call.scores + t * call.stride_t + h * call.stride_h;
  HeadFigures head = {0, 0, row.non_finite ? kRowNonFinite : 0, row.any ? 1 : 0};
  measure_head([&](std::int64_t c) { return row_c[c] = row.any ? expf(row_c[c] - row.top) * row.factor : 0.0f; },
               call.cells, head);
  if (threadIdx.x == 0) call.figures.head_th[t * heads + h] = head;
}

/// Block (t, tile): the calls in their order.
template <int Room>
__global__ void __launch_bounds__(kCellThreads) add_cells(const __grid_constant__ Calls<Room> calls) {
  float* const factor_h = dynamic_shared<float>();
  const std::int64_t t = blockIdx.x;
  for (int n = 0; n < calls.count; ++n) {
    const Call& call = calls.call[n];
    const float* const row_hc = call.scores + t * call.stride_t;
    const auto weight_of = [&](std::int64_t h, std::int64_t c) { return row_hc[h * call.stride_h + c]; };
    add_tile(weight_of, call.a.heads, call.a.q_pick.share(call.a.heads), call.figures, calls.by, calls.to, t,
             blockIdx.y, factor_h);
  }
}

/// Scores to weights where they lie: a row of a head per block.
__global__ void softmax_rows(const __grid_constant__ Call call) {
  const std::int64_t t = blockIdx.x, h = blockIdx.y;
  const RowSoftmax row = join(call.partials + (t * call.a.heads + h) * call.tiles, call.tiles);
  float* const row_k = call.scores + t * call.stride_t + h * call.stride_h;
  for (std::int64_t i = threadIdx.x; i < call.cells; i += blockDim.x) {
    row_k[i] = row.non_finite ? NAN : row.any ? expf(row_k[i] - row.top) * row.factor : 0.0f;
  }
}

std::int64_t tiles_of(const AttendParams& a) { return divide_up(a.keys, kKeys); }

template <DType T, int Room>
int launch_scores(const Calls<Room>& calls, dim3 grid, std::int64_t rows, cudaStream_t stream) {
  if (rows == 1 && Room == 1) return start(score_keys<T, 1, Room>, grid, kScoreThreads, 0, stream, calls);
  if (rows <= 8) return start(score_keys<T, 8, Room>, grid, kScoreThreads, 0, stream, calls);
  return start(score_keys<T, 32, Room>, grid, kScoreThreads, 0, stream, calls);
}

template <int Room>
int launch_scores(const Calls<Room>& calls, cudaStream_t stream) {
  std::int64_t tiles = 0, kv_heads = 0, rows = 0;
  for (int n = 0; n < calls.count; ++n) {
    const AttendParams& a = calls.call[n].a;
    tiles = std::max(tiles, calls.call[n].tiles);
    kv_heads = std::max(kv_heads, a.kv_heads);
    rows = std::max(rows, a.queries * (a.heads / a.kv_heads));
  }
  const dim3 grid = grid_of(tiles, kv_heads, calls.count);
  switch (calls.call[0].a.dtype) {
    case DType::F32:
      return launch_scores<DType::F32>(calls, grid, rows, stream);
    case DType::F16:
      return launch_scores<DType::F16>(calls, grid, rows, stream);
    default:
      return launch_scores<DType::BF16>(calls, grid, rows, stream);
  }
}

template <typename T>
std::size_t bytes_for(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
}

std::size_t partial_bytes(const AttendParams& a) { return bytes_for<Partial>(a.queries * a.heads * tiles_of(a)); }

std::size_t score_bytes(const AttendReduceParams& p) {
  return bytes_for<float>(p.scores.queries * p.scores.heads * p.to.cells);
}

}  // namespace

std::size_t attend_workspace(const AttendParams& p) { return partial_bytes(p); }

int attend(const AttendParams& p, float* out_hqk, void* workspace, Stream stream) {
  if (p.queries == 0 || p.keys == 0) return 0;
  Calls<1> calls = {};
  calls.count = 1;
  Call& call = calls.call[0];
  call.a = p;
  call.scores = out_hqk;
  call.stride_t = p.keys;
  call.stride_h = p.queries * p.keys;
  call.cells = p.keys;
  call.partials = static_cast<Partial*>(workspace);
  call.tiles = tiles_of(p);
  call.wide_keys = wide_keys(p);
  if (const int error = launch_scores(calls, stream_of(stream))) return error;
  return start(softmax_rows, grid_of(p.queries, p.heads), kHeadThreads, 0, stream_of(stream), call);
}

std::size_t attend_reduce_workspace(const AttendReduceParams* p, int count) {
  std::size_t bytes = 0;
  for (int n = 0; n < count; ++n) {
    bytes += partial_bytes(p[n].scores) + score_bytes(p[n]) + Figures::bytes(p[n].scores.queries, p[n].scores.heads);
  }
  return bytes;
}

namespace {

template <int Room>
int launch_all(const AttendReduceParams* p, int count, void* workspace, cudaStream_t stream) {
  const std::int64_t queries = p[0].scores.queries;
  if (queries == 0) return 0;
  Calls<Room> calls = {};
  calls.count = count;
  calls.by = p[0].by;
  calls.to = p[0].to;
  char* at = static_cast<char*>(workspace);
  std::int64_t heads = 0;
  for (int n = 0; n < count; ++n) {
    Call& call = calls.call[n];
    call.a = p[n].scores;
    call.partials = reinterpret_cast<Partial*>(at);
    at += partial_bytes(call.a);
    call.scores = reinterpret_cast<float*>(at);
    at += score_bytes(p[n]);
    call.figures = Figures::at(at, call.a.queries, call.a.heads);
    at += Figures::bytes(call.a.queries, call.a.heads);
    call.first_key = p[n].first_key;
    call.cells = p[n].to.cells;
    call.stride_h = call.cells;
    call.stride_t = call.a.heads * call.cells;
    call.tiles = tiles_of(call.a);
    call.wide_keys = wide_keys(call.a);
    heads = std::max(heads, call.a.heads);
  }
  if (const int error = launch_scores(calls, stream)) return error;
  if (const int error =
          start(measure_heads<Room>, grid_of(queries, heads + 1, count), kHeadThreads, 0, stream, calls)) {
    return error;
  }
  return start(add_cells<Room>, grid_of(queries, divide_up(calls.to.cells, kCellThreads)), kCellThreads,
               static_cast<std::size_t>(heads) * sizeof(float), stream, calls);
}

}  // namespace

int attend_reduce(const AttendReduceParams* calls, int count, void* workspace, Stream stream) {
  return count == 1 ? launch_all<1>(calls, count, workspace, stream_of(stream))
                    : launch_all<kMostCalls>(calls, count, workspace, stream_of(stream));
}

}  // namespace gaze::kernels::cuda
