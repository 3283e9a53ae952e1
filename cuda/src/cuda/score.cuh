// SPDX-License-Identifier: MIT
// Scores of the wanted rows: what all launches of attend know of their calls, and the first of them, which gives a
// block one tile of keys and one kv head of one batch row.
#pragma once

#include "cuda/row.cuh"

namespace gaze::kernels::cuda {

constexpr int kKeys = 64;  ///< of a tile
constexpr int kScoreThreads = 128;
constexpr int kScoreWarps = kScoreThreads / kWarp;
constexpr int kFewRows = 8;    ///< of a kv head, that registers hold
constexpr int kManyRows = 32;  ///< scored together by a block that stages keys and queries in shared memory
constexpr int kChunk = 64;     ///< of a head's size that is staged at a time
constexpr int kHalf = kChunk / 2;

/// Of the keys of one tile, for one row of one head. A NaN among the scores makes `top` NaN.
struct Partial {
  float top, sum;
};

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

/// One attention call, of all its batch rows. A smaller form of AttendParams: a launch carries many.
struct Call {
  const void *q, *k, *mask;
  std::int64_t q_stride_b, q_stride_h, q_stride_q, q_stride_d;
  std::int64_t k_stride_b, k_stride_h, k_stride_k, k_stride_d;
  std::int64_t mask_stride_b, mask_stride_h, mask_stride_q, mask_stride_k;
  std::int64_t keys, first_query, first_key, cells;
  std::int32_t heads, kv_heads, all_heads, size;
  float scale;
  std::int16_t pick_group;
  std::int8_t lanes;  ///< of a warp that share a key, 16 bytes each; 0: its elements are loaded one by one
  DType mask_dtype;
  bool causal;
  HeadPick pick;
  // Of the first batch row, and how many bytes on the next one's lie.
  float* scores;      ///< of keys first_key.. of row t, head h at t * score_stride_t + h * score_stride_h
  Partial* partials;  ///< [queries, heads, tiles]
  Figures figures;
  std::int64_t score_stride_t, score_stride_h, bytes_b;

  __host__ __device__ std::int64_t tiles() const { return (keys + kKeys - 1) / kKeys; }
  __device__ std::int64_t head_in(std::int64_t h) const { return pick.some ? pick.head[h] : h; }
  __device__ std::int64_t k_head_in(std::int64_t kv) const { return pick.some ? pick.head[kv] / pick_group : kv; }
  /// The first key that row t does not see for it is a later one.
  __device__ std::int64_t limit(std::int64_t t) const {
    const std::int64_t end = first_query + t + 1;
    return causal && end < keys ? end : keys;
  }
  __device__ float* scores_of(std::int64_t b) const { return shifted(scores, b * bytes_b); }
  __device__ Partial* partials_of(std::int64_t b) const { return shifted(partials, b * bytes_b); }
  __device__ Figures figures_of(std::int64_t b) const {
    return {shifted(figures.head_th, b * bytes_b), shifted(figures.visible_t, b * bytes_b)};
  }
};

/// Where the queries of a call begin that lie apart.
struct Queries {
  const void* of_t[kMostApartQueries];
};

/// Of one launch. A single call does not carry room for many through the driver.
template <int Room, bool Apart>
struct Calls {
  Call call[Room];
  Queries queries[Apart ? Room : 1];
  int count;
  std::int32_t rows;        ///< of the batch
  std::int32_t row_blocks;  ///< blocks among which the rows of a kv head are dealt
  Reduction by;
  AccumulatorRows to;
  RowOffset offset_b[Room == 1 && !Apart ? 1 : kMostBatchRows];
};

/// A call's queries, as one batch row has them.
template <DType T>
struct QueryRows {
  const Call& call;
  const Queries* apart;
  std::int64_t offset_b;  ///< elements
  __device__ const typename Element<T>::Bits* at(std::int64_t t, std::int64_t h) const {
    const void* const row = apart != nullptr ? apart->of_t[t] : call.q;
    return static_cast<const typename Element<T>::Bits*>(row) + offset_b + call.head_in(h) * call.q_stride_h +
           (apart != nullptr ? 0 : t * call.q_stride_q);
  }
};

/// What a block of the first launch works on.
struct Tile {
  std::int64_t b, kv, tile;
  std::int64_t group, first_row, last_row;  ///< rows r = t * group + g of the kv head
};

template <typename Bits>
struct alignas(16) Pack16 {
  Bits bits[16 / sizeof(Bits)];
};

/// What a mask adds to a score; -infinity where the key is not seen.
__device__ inline float masked(const Call& call, std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t key) {
  if (key >= call.limit(t)) return -INFINITY;
  if (call.mask == nullptr) return 0;
  return mask_value(call.mask, call.mask_dtype,
                    b * call.mask_stride_b + call.head_in(h) * call.mask_stride_h + t * call.mask_stride_q +
                        key * call.mask_stride_k);
}

/// A warp, for one row: the products of a tile's keys at product_k become scores, of which top and sum are kept.
__device__ inline void end_row(const Call& call, const Tile& at, std::int64_t r, const float* product_k) {
  const std::int64_t t = r / at.group, h = at.kv * at.group + r % at.group;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float score[kKeys / kWarp];
  bool nan = false;
  float top = -INFINITY;
#pragma unroll
  for (int n = 0; n < kKeys / kWarp; ++n) {
    const int key = n * kWarp + lane;
    const std::int64_t i = at.tile * kKeys + key, cell = i - call.first_key;
    const float mask = masked(call, at.b, h, t, i);
    // What an unused part of a cache holds does not matter: a masked key's score is never used.
    score[n] = mask == -INFINITY ? -INFINITY : product_k[key] * call.scale + mask;
    if (i < call.keys && cell >= 0 && cell < call.cells) {
      call.scores_of(at.b)[t * call.score_stride_t + h * call.score_stride_h + cell] = score[n];
    }
    nan |= isnan(score[n]);
    top = fmaxf(top, score[n]);
  }
  nan = __any_sync(kAllLanes, nan) != 0;
  top = warp_max(top);
  float sum = 0;
  if (top != -INFINITY) {
#pragma unroll
    for (int n = 0; n < kKeys / kWarp; ++n) sum += expf(score[n] - top);
    sum = warp_sum(sum);
  }
  if (lane == 0) {
    call.partials_of(at.b)[(t * call.heads + h) * call.tiles() + at.tile] = {nan ? NAN : top, sum};
  }
}

/// Sums of the values of `lanes` neighbouring lanes, each of which holds one of every row: afterwards value[0] is that
/// of row (lane % lanes) * Rows / lanes.
template <int Rows>
__device__ float sum_of_rows(float (&value)[Rows], int lane, int lanes) {
  int step = lanes / 2;
#pragma unroll
  for (int half = Rows / 2; half > 0; half /= 2, step /= 2) {
    const bool upper = (lane & step) != 0;
#pragma unroll
    for (int r = 0; r < half; ++r) {
      const float kept = upper ? value[r + half] : value[r], given = upper ? value[r] : value[r + half];
      value[r] = kept + __shfl_xor_sync(kAllLanes, given, step);
    }
  }
  for (; step > 0; step /= 2) value[0] += __shfl_xor_sync(kAllLanes, value[0], step);
  return value[0];
}

/// Up to Rows rows, whose queries stay in registers: a warp takes keys, some of its lanes share one, 16 bytes each.
template <DType T, int Rows>
__device__ void score_few(const Call& call, const QueryRows<T>& queries, const Tile& at) {
  using Bits = typename Element<T>::Bits;
  constexpr int kWide = 16 / static_cast<int>(sizeof(Bits));
  constexpr int kInFlight = Rows < kFewRows ? 8 : 4;
  __shared__ float product_rk[Rows][kKeys];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lanes = call.lanes, share = lane % lanes, at_once = kWarp / lanes;
  const bool here = share * kWide < call.size;
  const int rows = static_cast<int>(at.last_row - at.first_row);
  // Keys of a warp lie side by side, and behind the last one's end nothing is read.
  const int first = warp * (kKeys / kScoreWarps) + lane / lanes;
  const std::int64_t tile_first = at.tile * kKeys;
  const int keys = static_cast<int>(call.keys - tile_first < kKeys ? call.keys - tile_first : kKeys);
  const Bits* const from = static_cast<const Bits*>(call.k) + at.b * call.k_stride_b +
                           call.k_head_in(at.kv) * call.k_stride_h + tile_first * call.k_stride_k + share * kWide;
  float q[Rows][kWide];
#pragma unroll
  for (int r = 0; r < Rows; ++r) {
    const std::int64_t row = at.first_row + r;
    const bool wanted = here && r < rows;
    const Bits* const of_row =
        wanted ? queries.at(row / at.group, at.kv * at.group + row % at.group) + share * kWide * call.q_stride_d
               : nullptr;
#pragma unroll
    for (int j = 0; j < kWide; ++j) q[r][j] = wanted ? Element<T>::decode(of_row[j * call.q_stride_d]) : 0.0f;
  }
  for (int n0 = 0; n0 * at_once < kKeys / kScoreWarps; n0 += kInFlight) {
    Pack16<Bits> pack[kInFlight] = {};
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int key = first + (n0 + n) * at_once;
      const bool mine = (n0 + n) * at_once < kKeys / kScoreWarps && key < keys && here;
      if (mine) pack[n] = *reinterpret_cast<const Pack16<Bits>*>(from + key * call.k_stride_k);
    }
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      if ((n0 + n) * at_once >= kKeys / kScoreWarps) break;  // the same in all lanes
      float dot[Rows] = {};
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        const float k = Element<T>::decode(pack[n].bits[j]);
#pragma unroll
        for (int r = 0; r < Rows; ++r) dot[r] = fmaf(q[r][j], k, dot[r]);
      }
      const float sum = sum_of_rows<Rows>(dot, lane, lanes);
      if (share % (lanes / Rows) == 0) product_rk[share * Rows / lanes][first + (n0 + n) * at_once] = sum;
    }
  }
  __syncthreads();
  for (int r = warp; r < rows; r += kScoreWarps) end_row(call, at, at.first_row + r, product_rk[r]);
}

/// Elements [d0, d0 + kChunk) of kKeys keys; what lies behind an end counts as 0.
template <DType T>
__device__ void load_keys(const Call& call, const Tile& at, std::int64_t d0, float (&k_cd)[kKeys][kChunk + 1]) {
  using Bits = typename Element<T>::Bits;
  constexpr int kWide = 16 / static_cast<int>(sizeof(Bits));
  const std::int64_t first = at.tile * kKeys;
  const Bits* const from = static_cast<const Bits*>(call.k) + at.b * call.k_stride_b +
                           call.k_head_in(at.kv) * call.k_stride_h + first * call.k_stride_k;
  const int size = static_cast<int>(call.size - d0 < kChunk ? call.size - d0 : kChunk);
  const int keys = static_cast<int>(call.keys - first < kKeys ? call.keys - first : kKeys);
  if (call.lanes > 0) {
    constexpr int kPacks = kKeys * kChunk / kWide / kScoreThreads;
    Pack16<Bits> pack[kPacks] = {};
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const int place = (n * kScoreThreads + static_cast<int>(threadIdx.x)) * kWide;
      const int row = place / kChunk, d = place % kChunk;
      if (row < keys && d < size) {
        pack[n] = *reinterpret_cast<const Pack16<Bits>*>(from + row * call.k_stride_k + d0 + d);
      }
    }
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      const int place = (n * kScoreThreads + static_cast<int>(threadIdx.x)) * kWide;
#pragma unroll
      for (int j = 0; j < kWide; ++j) k_cd[place / kChunk][place % kChunk + j] = Element<T>::decode(pack[n].bits[j]);
    }
    return;
  }
#pragma unroll 8
  for (int place = static_cast<int>(threadIdx.x); place < kKeys * kChunk; place += kScoreThreads) {
    const int row = place / kChunk, d = place % kChunk;
    k_cd[row][d] =
        row < keys && d < size ? Element<T>::decode(from[row * call.k_stride_k + (d0 + d) * call.k_stride_d]) : 0.0f;
  }
}

/// Any number of rows, kManyRows at a time over the tile's keys, which two threads share.
template <DType T>
__device__ void score_many(const Call& call, const QueryRows<T>& queries, const Tile& at) {
  __shared__ float k_cd[kKeys][kChunk + 1];
  __shared__ float4 q_rd4[kManyRows][kChunk / 4];
  __shared__ float product_rk[kManyRows][kKeys];
  const int key = static_cast<int>(threadIdx.x) % kKeys, half = static_cast<int>(threadIdx.x) / kKeys;
  for (std::int64_t r0 = at.first_row; r0 < at.last_row; r0 += kManyRows) {
    const int rows = static_cast<int>(at.last_row - r0 < kManyRows ? at.last_row - r0 : kManyRows);
    float dot[kManyRows] = {};
    for (std::int64_t d0 = 0; d0 < call.size; d0 += kChunk) {
      const int size = static_cast<int>(call.size - d0 < kChunk ? call.size - d0 : kChunk);
      __syncthreads();
      load_keys<T>(call, at, d0, k_cd);
      for (int row = static_cast<int>(threadIdx.x) / kChunk; row < kManyRows; row += kScoreThreads / kChunk) {
        const int d = static_cast<int>(threadIdx.x) % kChunk;
        const std::int64_t r = r0 + row;
        const bool here = d < size && row < rows;
        reinterpret_cast<float*>(q_rd4[row])[d] =
            here ? Element<T>::decode(
                       queries.at(r / at.group, at.kv * at.group + r % at.group)[(d0 + d) * call.q_stride_d])
                 : 0.0f;
      }
      __syncthreads();
#pragma unroll 2
      for (int d = half * kHalf; d < (half + 1) * kHalf; d += 4) {
        const float k0 = k_cd[key][d], k1 = k_cd[key][d + 1], k2 = k_cd[key][d + 2], k3 = k_cd[key][d + 3];
#pragma unroll
        for (int r = 0; r < kManyRows; ++r) {
          const float4 q = q_rd4[r][d / 4];
          dot[r] = fmaf(q.w, k3, fmaf(q.z, k2, fmaf(q.y, k1, fmaf(q.x, k0, dot[r]))));
        }
      }
    }
    if (half == 1) {
#pragma unroll
      for (int r = 0; r < kManyRows; ++r) product_rk[r][key] = dot[r];
    }
    __syncthreads();
    if (half == 0) {
#pragma unroll
      for (int r = 0; r < kManyRows; ++r) product_rk[r][key] += dot[r];
    }
    __syncthreads();
    for (int r = static_cast<int>(threadIdx.x) / kWarp; r < rows; r += kScoreWarps) {
      end_row(call, at, r0 + r, product_rk[r]);
    }
  }
}

/// Block (tile and part of the rows, kv head, call and batch row). Rows: the most there are of a kv head, or 0: many.
template <DType T, int Rows, int Room, bool Apart>
__global__ void __launch_bounds__(kScoreThreads, 3)
    score_keys(const __grid_constant__ Calls<Room, Apart> calls, std::int64_t queries) {
  const int n = static_cast<int>(blockIdx.z) / calls.rows;
  const Call& call = calls.call[n];
  Tile at;
  at.b = static_cast<int>(blockIdx.z) % calls.rows;
  at.kv = blockIdx.y;
  at.tile = blockIdx.x / static_cast<unsigned>(calls.row_blocks);
  // Calls of one launch may differ in keys and kv heads: the grid has room for the largest.
  if (at.tile >= call.tiles() || at.kv >= call.kv_heads) return;
  at.group = call.heads / call.kv_heads;
  const std::int64_t rows = queries * at.group, part = blockIdx.x % static_cast<unsigned>(calls.row_blocks);
  const std::int64_t blocks = (rows + kManyRows - 1) / kManyRows;  // of as many rows as are scored together
  at.first_row = blocks * part / calls.row_blocks * kManyRows;
  at.last_row = blocks * (part + 1) / calls.row_blocks * kManyRows;
  if (at.last_row > rows) at.last_row = rows;
  const QueryRows<T> of{call, Apart ? &calls.queries[n] : nullptr, at.b * call.q_stride_b};
  if constexpr (Rows > 0) {
    score_few<T, Rows>(call, of, at);
  } else {
    score_many<T>(call, of, at);
  }
}

}  // namespace gaze::kernels::cuda
