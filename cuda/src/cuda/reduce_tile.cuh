// SPDX-License-Identifier: MIT
// How a row of all heads lies in a block's shared memory, whole or a tile of its keys at a time, and comes there.
#pragma once

#include "cuda/device.cuh"

namespace gaze::kernels::cuda {

constexpr int kMostThreads = 512;
constexpr int kMostWarps = kMostThreads / kWarp;
constexpr int kPackBytes = 16;
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

/// Of all heads.
struct RowFigures {
  float mass, focus;
  std::int32_t flags;
};

/// What a block has in shared memory.
struct Shared {
  __device__ Shared(std::int64_t heads, std::int64_t cells, bool held)
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
  const std::int64_t step = kBytes > kKeyBytes<T> ? kBytes : p.stride_k * kKeyBytes<T>;
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

}  // namespace gaze::kernels::cuda
