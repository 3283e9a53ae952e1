// SPDX-License-Identifier: MIT
// A block takes a row of all heads. It lies in shared memory between its two uses: a warp measures whole heads, then
// each thread joins the heads of its keys. A row that is too long for that goes through in tiles; where it takes every
// head's figures to know what a weight counts, all tiles but the last are read a second time.
#include <algorithm>
#include <cmath>

#include "cuda/row.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kMostThreads = 512;
/// Of as many threads on a multiprocessor: where copies need registers, shared memory has room for no more.
constexpr int kBlocks = kCopiesAsync ? 2 : 1;
constexpr int kMostWarps = kMostThreads / kWarp;
constexpr int kPackBytes = 16;
/// Packs that a lane measures side by side.
constexpr int kSlots = 4;

/// How the weights of a key join over heads. Sum: each times its head's factor.
enum class Join { Sum, Max, Min };

/// A row's way through shared memory.
struct Plan {
  int threads = 0;
  int warp_heads = 0;  ///< heads of a warp
  int together = 0;    ///< of which 1 << that are measured side by side
  int piece = 0;       ///< bytes of a load
  int tile_keys = 0;
  int tiles = 0;
  int pitch = 0;      ///< bytes from a head to the next one in a tile
  bool held = false;  ///< the finished cells wait for the row's flags: every tile is read once
  std::size_t shared_bytes = 0;
  double most_entropy = 0;
};

constexpr float kLeastNormal = 0x1p-126f;

enum State : std::int32_t { kAny = 1, kBroken = 2 };

/// Of all heads.
struct RowFigures {
  float mass, focus;
  std::int32_t flags;
};

/// What a block holds.
struct Held {
  __device__ Held(std::int64_t heads, std::int64_t cells, bool held)
      : row(dynamic_shared<RowFigures>()),
        visible_w(reinterpret_cast<std::int32_t*>(row + 1)),
        total_h(reinterpret_cast<float*>(visible_w + kMostWarps)),
        mass_h(total_h + heads),
        focus_h(mass_h + heads),
        factor_h(focus_h + heads),
        state_h(reinterpret_cast<std::int32_t*>(factor_h + heads)),
        cell_c(reinterpret_cast<float*>(reinterpret_cast<char*>(row) + bytes(heads, 0, false))),
        tile(reinterpret_cast<char*>(row) + bytes(heads, cells, held)) {}

  /// Before the tile.
  static __host__ __device__ std::int64_t bytes(std::int64_t heads, std::int64_t cells, bool held) {
    const auto whole_packs = [](std::int64_t all) { return (all + kPackBytes - 1) / kPackBytes * kPackBytes; };
    constexpr std::int64_t kOfRow = sizeof(RowFigures) + kMostWarps * sizeof(std::int32_t);
    return whole_packs(kOfRow + heads * 20) + (held ? whole_packs(cells * 4) : 0);
  }

  RowFigures* row;
  std::int32_t* visible_w;  ///< keys that a warp found visible
  float* total_h;
  float* mass_h;
  float* focus_h;   ///< the sum of x log2 x until the head is finished
  float* factor_h;  ///< what a head's weights count
  std::int32_t* state_h;
  float* cell_c;
  char* tile;
};

template <DType T>
constexpr int kKeyBytes = static_cast<int>(sizeof(typename Element<T>::Bits));
template <DType T>
constexpr int kPackKeys = kPackBytes / kKeyBytes<T>;
template <DType T>
constexpr int kWordKeys = 4 / kKeyBytes<T>;

template <DType T>
__device__ void decode_word(std::uint32_t word, float* x) {
  if constexpr (T == DType::F32) {
    x[0] = float_from_bits(word);
  } else {
    x[0] = Element<T>::decode(static_cast<std::uint16_t>(word));
    x[1] = Element<T>::decode(static_cast<std::uint16_t>(word >> 16));
  }
}

/// Whether a weight, or any of those whose bits are joined by or, is not 0 of either sign.
template <DType T>
__device__ bool weighs(typename Element<T>::Bits bits) {
  return (bits & (T == DType::F32 ? 0x7fffffffu : 0x7fffu)) != 0;
}

/// Keys [first, first + keys) of a row, among which [begin, end) are the medium's.
struct Tile {
  __device__ Tile(const ReduceParams& p, const Plan& plan, int n)
      : first(static_cast<std::int64_t>(n) * plan.tile_keys),
        keys(within(p.keys - first, plan.tile_keys)),
        begin(within(p.first_key - first, keys)),
        end(within(p.first_key + p.to.cells - first, keys)) {}
  static __device__ int within(std::int64_t x, int most) { return x < 0 ? 0 : x < most ? static_cast<int>(x) : most; }
  std::int64_t first;
  int keys, begin, end;
};

template <DType T>
__device__ int packs_of(const Tile& tile) {
  return (tile.keys + kPackKeys<T> - 1) / kPackKeys<T>;
}

/// The heads of this warp.
struct WarpHeads {
  __device__ WarpHeads(const ReduceParams& p, const Plan& plan)
      : first(static_cast<int>(threadIdx.x) / kWarp * plan.warp_heads),
        end(first + plan.warp_heads < p.heads ? first + plan.warp_heads : static_cast<int>(p.heads)) {}
  int first, end;
};

template <DType T, int kBytes>
__device__ void copy_heads(const ReduceParams& p, const Plan& plan, const Tile& tile, char* to) {
  const WarpHeads mine(p, plan);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, bytes = tile.keys * kKeyBytes<T>;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * p.stride_q + tile.first * p.stride_k;
  const std::int64_t step = p.stride_k == 1 ? kBytes : p.stride_k * kKeyBytes<T>;
#pragma unroll 1
  for (int h = mine.first; h < mine.end; ++h) {
    const char* const from =
        static_cast<const char*>(p.attn_hqk) + (p.pick[h] * p.stride_h + row) * static_cast<std::int64_t>(kKeyBytes<T>);
    copy_pieces<kBytes>(from, step, bytes / kBytes, to + h * plan.pitch);
    // Behind the last key its pack weighs nothing.
    auto* const keys = reinterpret_cast<typename Element<T>::Bits*>(to + h * plan.pitch);
    if (tile.keys + lane < packs_of<T>(tile) * kPackKeys<T>) keys[tile.keys + lane] = 0;
  }
}

/// Brings the warp's heads of a tile into shared memory.
template <DType T>
__device__ void copy_tile(const ReduceParams& p, const Plan& plan, const Tile& tile, char* to) {
  switch (plan.piece) {
    case 16:
      copy_heads<T, 16>(p, plan, tile, to);
      break;
    case 8:
      copy_heads<T, 8>(p, plan, tile, to);
      break;
    case 4:
      copy_heads<T, 4>(p, plan, tile, to);
      break;
    default:
      if constexpr (kKeyBytes<T> == 2) copy_heads<T, 2>(p, plan, tile, to);
  }
  wait_for_copies();
}

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
                             const Held& held) {
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
          pack = *reinterpret_cast<const Piece<kPackBytes>*>(held.tile + h * plan.pitch + at * kPackBytes);
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
      if (broken<T>(held.tile + h * plan.pitch, tile.keys) && lane == h - first) state |= kBroken;
    }
    const int h = first + lane;
    if (lane < together && h < mine.end) {
      held.total_h[h] = first_tile ? total : held.total_h[h] + total;
      held.mass_h[h] = first_tile ? mass : held.mass_h[h] + mass;
      if (kFocus) held.focus_h[h] = first_tile ? x_log_x : held.focus_h[h] + x_log_x;
      held.state_h[h] = first_tile ? state : held.state_h[h] | state;
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
__device__ void find_factors(const ReduceParams& p, float focus, const Held& held) {
  const int heads = static_cast<int>(p.heads);
  const bool weighted = kFocus && p.by.heads == HeadReduce::Weighted && focus > 0;
  const bool top = kFocus && p.by.heads == HeadReduce::TopK;
  for (int h = static_cast<int>(threadIdx.x); h < heads; h += static_cast<int>(blockDim.x)) {
    float factor = 1 / static_cast<float>(heads);
    if (p.by.heads == HeadReduce::One) factor = h == p.by.head ? 1.0f : 0.0f;
    if (weighted) factor = held.focus_h[h] / focus;
    if (top) {  // ties: lower head first
      int ahead = 0;
      for (int o = 0; o < heads; ++o) {
        ahead += held.focus_h[o] > held.focus_h[h] || (held.focus_h[o] == held.focus_h[h] && o < h);
      }
      factor = ahead < p.by.k ? 1 / static_cast<float>(p.by.k < heads ? p.by.k : heads) : 0.0f;
    }
    held.factor_h[h] = factor;
  }
  __syncthreads();
}

/// When every head of the row is measured: its flags. All threads of the block, the same result in each.
template <bool kFocus>
__device__ std::int32_t finish_heads(const ReduceParams& p, const Plan& plan, const Held& held) {
  __syncthreads();
  const int heads = static_cast<int>(p.heads);
  if (kFocus) {
    for (int h = static_cast<int>(threadIdx.x); h < heads; h += static_cast<int>(blockDim.x)) {
      held.focus_h[h] = focus_of(held.mass_h[h], held.focus_h[h], plan.most_entropy);
    }
    __syncthreads();
  }
  RowFigures row = {};
  std::int32_t any = 0;
  for (int h = static_cast<int>(threadIdx.x) % kWarp; h < heads; h += kWarp) {
    const float total = held.total_h[h];
    const std::int32_t state = held.state_h[h];
    any |= state & kAny;
    if ((state & kBroken) != 0) {
      row.flags |= kRowNonFinite;
    } else if ((state & kAny) != 0 && !(total >= p.sum_least && total <= p.sum_most)) {
      row.flags |= kRowSum;
    }
    row.mass += held.mass_h[h];
    if (kFocus) row.focus += held.focus_h[h];
  }
  row.mass = warp_sum(row.mass);
  if (kFocus) row.focus = warp_sum(row.focus);
  row.flags |= any << 8;
  for (int step = kWarp / 2; step > 0; step /= 2) row.flags |= __shfl_xor_sync(kAllLanes, row.flags, step);
  row.flags = row.flags == 0 ? kRowFullyMasked : row.flags & 0xff;
  if (threadIdx.x == 0) *held.row = row;
  find_factors<kFocus>(p, row.focus, held);
  return row.flags;
}

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
  __device__ Cells(const ReduceParams& p, const Plan& plan, const Held& held)
      : by(p.by),
        weight(by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted
                   ? held.row->focus
                   : static_cast<float>(p.pick.share(p.heads))),
        map_c(p.to.map_tc + static_cast<std::int64_t>(blockIdx.x) * p.to.map_stride_t),
        held_c(plan.held ? held.cell_c : nullptr) {}
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
__device__ void join_tile(const ReduceParams& p, const Plan& plan, const Tile& tile, const Held& held) {
  const Cells cells(p, plan, held);
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
    const char* at = held.tile + key * kKeyBytes<T>;
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
        value[i] = kJoin == Join::Sum   ? fmaf(held.factor_h[h], x[i], value[i])
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
  if (threadIdx.x % kWarp == 0) held.visible_w[threadIdx.x / kWarp] += visible;
}

/// add_totals with all its reads first: its pointers may be the same, so that each would wait for the write before.
__device__ inline void add_row_totals(const ReduceParams& p, const Plan& plan, const Held& held) {
  const float weight = Cells(p, plan, held).weight;
  int visible = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) visible += held.visible_w[w];
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
  add_totals(p.by, sums, 0, weight, held.row->mass / static_cast<float>(p.heads), static_cast<float>(visible),
             p.pick.share(p.heads));
  to.weight_t[t] = weight_sum;
  to.mass_t[t] = mass_sum;
  to.visible_t[t] = visible_sum;
  to.calls_t[t] = calls;
  to.rows_t[t] = rows;
}

template <DType T, Join kJoin, bool kFocus>
__global__ void __launch_bounds__(kMostThreads, kBlocks) reduce_rows(const ReduceParams p, const Plan plan) {
  const Held held(p.heads, p.to.cells, plan.held);
  if (threadIdx.x % kWarp == 0) held.visible_w[threadIdx.x / kWarp] = 0;
  if (plan.held) find_factors<false>(p, 0, held);
    // Forth to measure, back to join; or both in one go.
#pragma unroll 1
  for (int step = 0; step < 2 * plan.tiles; ++step) {
    const bool back = step >= plan.tiles;
    const Tile tile(p, plan, back ? 2 * plan.tiles - 1 - step : step);
    if (step == plan.tiles) {  // the last tile is still there
      if (const std::int32_t flags = finish_heads<kFocus>(p, plan, held)) {
        if (threadIdx.x == 0) add_flags(p.to, blockIdx.x, flags);
        return;
      }
      if (plan.held) {
        Cells(p, plan, held).add_held(p.to.cells);
        break;
      }
    } else {
      copy_tile<T>(p, plan, tile, held.tile);
    }
    if (!back) measure_tile<T, kFocus>(p, plan, tile, step == 0, held);
    if (back || plan.held) {
      __syncthreads();
      join_tile<T, kJoin>(p, plan, tile, held);
      __syncthreads();
    } else {
      sync_warp();  // the next tile's heads are the same warp's
    }
  }
  if (threadIdx.x == 0) add_row_totals(p, plan, held);
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
  std::int64_t before = Held::bytes(p.heads, p.to.cells, false), pitch = pitch_of(p.keys);
  if (before + p.heads * pitch > most) {
    const std::int64_t with_cells = Held::bytes(p.heads, p.to.cells, true);
    plan.held = !kFocus && with_cells <= most / 2;
    if (plan.held) before = with_cells;
    // Tiles that are not read again may be smaller, to leave room for a second block.
    const std::int64_t room = (plan.held && with_cells <= most / 4 ? most / 2 : most) - before;
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

std::size_t reduce_workspace(const ReduceParams&) { return 0; }

int reduce(const ReduceParams& p, void*, Stream stream) {
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
