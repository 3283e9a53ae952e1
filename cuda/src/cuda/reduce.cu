// SPDX-License-Identifier: MIT
// A block takes a row of all heads. It lies in shared memory between its two uses: a warp measures whole heads, then
// each thread joins the heads of its keys. A row that is too long for that goes through in tiles; where it takes every
// head's figures to know what a weight counts, all tiles but the last are read a second time.
#include <algorithm>
#include <cmath>

#include "cuda/reduce_heads.cuh"
#include "cuda/row.cuh"

namespace gaze::kernels::cuda {
namespace {

/// Of as many threads on a multiprocessor: where copies need registers, shared memory has room for no more.
constexpr int kBlocks = kCopiesAsync ? 2 : 1;
/// More than any block has: registers then leave room for five blocks of 256 threads, which LLaVA's 640 rows take.
constexpr int kBound = kCopiesAsync ? 640 : kMostThreads;

/// How the weights of a key join over heads. Sum: each times its head's factor.
enum class Join { Sum, Max, Min };

/// Whether one of `heads` heads weighs the key whose first one's weight is at `from`.
template <DType T>
__device__ bool some_weighs(const typename Element<T>::Bits* from, std::int64_t stride_h, int heads) {
  using Bits = typename Element<T>::Bits;
  constexpr int kTogether = 8;
  for (; heads > 0; heads -= kTogether, from += kTogether * stride_h) {
    Bits bits = 0;
#pragma unroll
    for (int n = 0; n < kTogether; ++n) {
      if (n < heads) bits |= load_once<Bits>(from + n * stride_h);
    }
    if (weighs<T>(bits)) return true;
  }
  return false;
}

/// Where the cells of this row go: into the accumulator, or to wait for the row's flags.
struct Cells {
  __device__ Cells(const ReduceParams& p, const Plan& plan, const Shared& shared)
      : by(p.by),
        weight(by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted
                   ? shared.row->focus
                   : static_cast<float>(p.pick.share(p.heads))),
        map_c(p.to.map_tc + static_cast<std::int64_t>(blockIdx.x) * p.to.map_stride_t),
        held_c(plan.held ? shared.cell_c : nullptr) {}
  __device__ float before(std::int64_t cell) const { return held_c == nullptr ? map_c[cell] : 0.0f; }
  __device__ void put(std::int64_t cell, float before, float value) const {
    if (held_c != nullptr) {
      held_c[cell] = value;
    } else {
      add_cell(by, value, weight, &before);
      map_c[cell] = before;
    }
  }
  /// What waited, once every thread's is there.
  __device__ void add_held(std::int64_t cells) const {
    for (std::int64_t c = threadIdx.x; c < cells; c += blockDim.x) add_cell(by, held_c[c], weight, map_c + c);
  }
  const Reduction& by;
  float weight;
  float* map_c;
  float* held_c;
};

/// Joins the heads of the tile, two words of keys at a time, and counts those that some head weighs.
template <DType T, Join kJoin>
__device__ void join_tile(const ReduceParams& p, const Plan& plan, const Tile& tile, const Shared& shared) {
  const Cells cells(p, plan, shared);
  const std::int64_t first_cell = tile.first - p.first_key;
  constexpr int kWords = 2, kKeys = kWords * kWordKeys<T>;
  const int heads = static_cast<int>(p.heads);
  int visible = 0;
  for (int key = static_cast<int>(threadIdx.x) * kKeys; key < tile.keys; key += static_cast<int>(blockDim.x) * kKeys) {
    float before[kKeys] = {}, value[kKeys];
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      // Under way while the heads are joined.
      if (key + i >= tile.begin && key + i < tile.end) before[i] = cells.before(first_cell + key + i);
      value[i] = kJoin == Join::Sum ? 0.0f : kJoin == Join::Max ? -INFINITY : INFINITY;
    }
    const char* at = shared.tile + key * kKeyBytes<T>;
    Piece<4 * kWords> seen = {};
#pragma unroll 8
    for (int h = 0; h < heads; ++h, at += plan.pitch) {
      const auto words = *reinterpret_cast<const Piece<4 * kWords>*>(at);
      float x[kKeys];
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        seen.word[w] |= words.word[w];
        decode_word<T>(words.word[w], x + w * kWordKeys<T>);
      }
#pragma unroll
      for (int i = 0; i < kKeys; ++i) {
        value[i] = kJoin == Join::Sum   ? fmaf(shared.factor_h[h], x[i], value[i])
                   : kJoin == Join::Max ? fmaxf(value[i], x[i])
                                        : fminf(value[i], x[i]);
      }
    }
    std::uint32_t hidden = 0;
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      const std::uint32_t word = seen.word[i / kWordKeys<T>] >> (8 * (i % kWordKeys<T>)*kKeyBytes<T>);
      const bool here = weighs<T>(static_cast<typename Element<T>::Bits>(word));
      visible += here ? 1 : 0;
      hidden |= (here || key + i >= tile.keys ? 0u : 1u) << i;
      if (key + i >= tile.begin && key + i < tile.end) cells.put(first_cell + key + i, before[i], value[i]);
    }
    // Keys that no picked head weighs.
#pragma unroll 1
    for (; p.pick.some && hidden != 0; hidden &= hidden - 1) {
      const std::int64_t at_key = tile.first + key + __popc((hidden & (0 - hidden)) - 1);
      const auto* const row = static_cast<const typename Element<T>::Bits*>(p.attn_hqk) + blockIdx.x * p.stride_q;
      visible += some_weighs<T>(row + at_key * p.stride_k, p.stride_h, static_cast<int>(p.all_heads)) ? 1 : 0;
    }
  }
  visible = warp_sum(visible);
  if (threadIdx.x % kWarp == 0) shared.visible_w[threadIdx.x / kWarp] += visible;
}

/// add_totals with all its reads first: its pointers may be the same, so that each would wait for the write before.
__device__ inline void add_row_totals(const ReduceParams& p, const Plan& plan, const Shared& shared) {
  const float weight = Cells(p, plan, shared).weight;
  int visible = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) visible += shared.visible_w[w];
  const std::int64_t t = blockIdx.x;
  const AccumulatorRows& to = p.to;
  float weight_sum = to.weight_t[t], mass_sum = to.mass_t[t], visible_sum = to.visible_t[t];
  std::int32_t calls = to.calls_t[t], rows = to.rows_t[t];
  AccumulatorRows sums;
  sums.weight_t = &weight_sum;
  sums.mass_t = &mass_sum;
  sums.visible_t = &visible_sum;
  sums.calls_t = &calls;
  sums.rows_t = &rows;
  add_totals(p.by, sums, 0, weight, shared.row->mass / static_cast<float>(p.heads), static_cast<float>(visible),
             p.pick.share(p.heads));
  to.weight_t[t] = weight_sum;
  to.mass_t[t] = mass_sum;
  to.visible_t[t] = visible_sum;
  to.calls_t[t] = calls;
  to.rows_t[t] = rows;
}

template <DType T, Join kJoin, bool kFocus>
__global__ void __launch_bounds__(kBound, kBlocks) reduce_rows(const ReduceParams p, const Plan plan) {
  const Shared shared(p.heads, p.to.cells, plan.held);
  if (threadIdx.x % kWarp == 0) shared.visible_w[threadIdx.x / kWarp] = 0;
  if (plan.held) find_factors<false>(p, 0, shared);
#pragma unroll 1
  for (int step = 0; step < 2 * plan.tiles; ++step) {  // forth to measure, back to join; or both in one go
    const bool back = step >= plan.tiles;
    const Tile tile(p, plan, back ? 2 * plan.tiles - 1 - step : step);
    if (step == plan.tiles) {  // the last tile is still there
      if (const std::int32_t flags = finish_heads<kFocus>(p, plan, shared)) {
        if (threadIdx.x == 0) add_flags(p.to, blockIdx.x, flags);
        return;
      }
      if (plan.held) {
        Cells(p, plan, shared).add_held(p.to.cells);
        break;
      }
    } else {
      copy_tile<T>(p, plan, tile, shared.tile);
    }
    if (!back) measure_tile<T, kFocus>(p, plan, tile, step == 0, shared);
    if (back || plan.held) {
      __syncthreads();
      join_tile<T, kJoin>(p, plan, tile, shared);
      __syncthreads();
    } else {
      sync_warp();  // the next tile's heads are the same warp's
    }
  }
  if (threadIdx.x == 0) add_row_totals(p, plan, shared);
}

/// The widest load that every head's row of this call may be read in.
template <DType T>
int piece_of(const ReduceParams& p) {
  if (p.stride_k != 1) return kKeyBytes<T>;
  const auto fits = [&](std::int64_t piece) {
    const auto whole = [&](std::int64_t keys) { return keys * kKeyBytes<T> % piece == 0; };
    return reinterpret_cast<std::uintptr_t>(p.attn_hqk) % static_cast<std::uintptr_t>(piece) == 0 && whole(p.keys) &&
           whole(p.stride_h) && whole(p.stride_q);
  };
  int piece = kPackBytes;
  while (piece > kKeyBytes<T> && !fits(piece)) piece /= 2;
  return piece;
}

/// As many rows as leave most of a GPU without a block, whatever the GPU.
constexpr std::int64_t kFewRows = 64;

template <DType T, bool kFocus>
Plan plan_of(const ReduceParams& p) {
  const auto most = static_cast<std::int64_t>(most_shared());
  const auto pitch_of = [](std::int64_t keys) { return divide_up(keys * kKeyBytes<T>, kPackBytes) * kPackBytes; };
  Plan plan;
  plan.piece = piece_of<T>(p);
  plan.most_entropy = std::log(static_cast<double>(p.to.cells));
  std::int64_t before = Shared::bytes(p.heads, p.to.cells, false), pitch = pitch_of(p.keys);
  if (before + p.heads * pitch > most) {
    const std::int64_t with_cells = Shared::bytes(p.heads, p.to.cells, true);
    plan.held = !kFocus && with_cells <= most / 2;
    if (plan.held) before = with_cells;
    // Tiles that are not read again may be smaller, to leave room for a second block; of each a kilobyte is CUDA's own.
    const std::int64_t room = (plan.held && with_cells <= most / 4 ? most / 2 - (1 << 10) : most) - before;
    pitch = std::max<std::int64_t>(room / p.heads / kPackBytes, 1) * kPackBytes;
  }
  plan.pitch = static_cast<int>(pitch);
  plan.tile_keys = static_cast<int>(pitch / kKeyBytes<T>);
  plan.tiles = static_cast<int>(divide_up(p.keys, plan.tile_keys));
  const std::int64_t bytes = before + p.heads * pitch;
  plan.shared_bytes = static_cast<std::size_t>(bytes);

  const std::int64_t most_warps = p.queries <= kFewRows || bytes > most / 4 ? 16 : 8;
  const std::int64_t warp_heads = divide_up(p.heads, most_warps);
  plan.warp_heads = static_cast<int>(warp_heads);
  plan.together = warp_heads > 2 ? 2 : warp_heads > 1 ? 1 : 0;
  plan.threads = static_cast<int>(divide_up(p.heads, warp_heads)) * kWarp;
  return plan;
}

template <DType T, Join kJoin, bool kFocus>
int launch(const ReduceParams& p, cudaStream_t stream) {
  const Plan plan = plan_of<T, kFocus>(p);
  return start(reduce_rows<T, kJoin, kFocus>, grid_of(p.queries), plan.threads, plan.shared_bytes, stream, p, plan);
}

template <DType T>
int launch(const ReduceParams& p, cudaStream_t stream) {
  switch (p.by.heads) {
    case HeadReduce::Max:
      return launch<T, Join::Max, false>(p, stream);
    case HeadReduce::Min:
      return launch<T, Join::Min, false>(p, stream);
    case HeadReduce::Mean:
    case HeadReduce::One:
      return launch<T, Join::Sum, false>(p, stream);
    default:
      return launch<T, Join::Sum, true>(p, stream);
  }
}

}  // namespace

namespace {

template <DType T>
int load_rows() {
  return load(reduce_rows<T, Join::Sum, false>, reduce_rows<T, Join::Sum, true>, reduce_rows<T, Join::Max, false>,
              reduce_rows<T, Join::Min, false>);
}

}  // namespace

int load_reduce() {
  if (const int error = load_rows<DType::F32>()) return error;
  if (const int error = load_rows<DType::F16>()) return error;
  return load_rows<DType::BF16>();
}

int reduce(const ReduceParams& p, Stream stream) {
  if (p.queries == 0) return 0;
  switch (p.dtype) {
    case DType::F32:
      return launch<DType::F32>(p, stream_of(stream));
    case DType::F16:
      return launch<DType::F16>(p, stream_of(stream));
    default:
      return launch<DType::BF16>(p, stream_of(stream));
  }
}

}  // namespace gaze::kernels::cuda
