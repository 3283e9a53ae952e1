// SPDX-License-Identifier: MIT
// Where a thread of an emulated kernel is, and how it waits for others.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "emulated_runtime.hpp"

namespace emulated {

inline dim3 thread_index, block_index, block_size, grid_size;
inline void* dynamic_shared = nullptr;

inline unsigned lane() { return thread_index.x % 32; }

/// What the lanes of a warp have shown each other.
struct Lanes {
  std::uint64_t value[32];
};

/// Ends the launch with an error of this thread.
[[noreturn]] void refuse(const std::string& why);

/// Lets others run first.
void give_way();

/// Waits for the lanes of `mask` that have not left.
void wait_for_warp(const char* what = "__syncwarp", unsigned mask = 0xffffffffu);
/// Waits for all lanes of `mask`, none of which may have left. @return valid until this thread waits again
const Lanes& meet(const char* what, unsigned mask, std::uint64_t mine);

/// How many of a block's threads said yes, and how many there are.
struct Votes {
  unsigned yes, all;
};
/// Waits for the threads of the block that have not left.
void wait_for_block(const char* what);
/// Waits for all threads of the block, none of which may have left.
Votes vote(const char* what, bool mine);

template <typename T>
std::uint64_t bits_of(T x) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof(T));
  return bits;
}

/// What another lane shows.
template <typename T>
T exchange(const char* what, unsigned mask, T mine, unsigned from_lane) {
  const Lanes& lanes = meet(what, mask, bits_of(mine));
  if ((mask >> from_lane & 1u) == 0)
    refuse(std::string(what) + " reads lane " + std::to_string(from_lane) + ", which its mask leaves out");
  T theirs;
  std::memcpy(&theirs, &lanes.value[from_lane], sizeof(T));
  return theirs;
}

/// The lanes of `mask` that said yes.
inline unsigned ballot(const char* what, unsigned mask, bool mine) {
  const Lanes& lanes = meet(what, mask, mine ? 1 : 0);
  unsigned yes = 0;
  for (unsigned i = 0; i < 32; ++i) yes |= (mask >> i & 1u) != 0 && lanes.value[i] != 0 ? 1u << i : 0u;
  return yes;
}

}  // namespace emulated

#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_size
#define gridDim emulated::grid_size

inline void __syncthreads() { emulated::wait_for_block("__syncthreads"); }
inline int __syncthreads_or(int x) { return emulated::vote("__syncthreads_or", x != 0).yes > 0; }
inline int __syncthreads_and(int x) {
  const emulated::Votes votes = emulated::vote("__syncthreads_and", x != 0);
  return votes.yes == votes.all;
}
inline int __syncthreads_count(int x) { return static_cast<int>(emulated::vote("__syncthreads_count", x != 0).yes); }
// What was written before is seen by others now: the time to look whether they rely on more.
inline void __threadfence() { emulated::give_way(); }
inline void __threadfence_block() { emulated::give_way(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulated::wait_for_warp("__syncwarp", mask); }

inline unsigned __ballot_sync(unsigned mask, int x) { return emulated::ballot("__ballot_sync", mask, x != 0); }
inline int __any_sync(unsigned mask, int x) { return emulated::ballot("__any_sync", mask, x != 0) != 0; }
inline int __all_sync(unsigned mask, int x) { return emulated::ballot("__all_sync", mask, x != 0) == mask; }

template <typename T>
unsigned __match_any_sync(unsigned mask, T x) {
  const std::uint64_t mine = emulated::bits_of(x);
  const emulated::Lanes& lanes = emulated::meet("__match_any_sync", mask, mine);
  unsigned same = 0;
  for (unsigned i = 0; i < 32; ++i) same |= (mask >> i & 1u) != 0 && lanes.value[i] == mine ? 1u << i : 0u;
  return same;
}

/// Lanes in groups of `width`; who would read beyond its group keeps its own.
template <typename T>
T __shfl_sync(unsigned mask, T x, int from, int width = 32) {
  const unsigned w = static_cast<unsigned>(width), first = emulated::lane() / w * w;
  return emulated::exchange("__shfl_sync", mask, x, first + static_cast<unsigned>(from) % w);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T x, unsigned step, int width = 32) {
  const unsigned w = static_cast<unsigned>(width), mine = emulated::lane();
  return emulated::exchange("__shfl_down_sync", mask, x, mine % w + step < w ? mine + step : mine);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T x, unsigned step, int width = 32) {
  const unsigned w = static_cast<unsigned>(width), mine = emulated::lane();
  return emulated::exchange("__shfl_up_sync", mask, x, mine % w >= step ? mine - step : mine);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T x, int step, int width = 32) {
  const unsigned w = static_cast<unsigned>(width), mine = emulated::lane();
  const unsigned from = mine ^ static_cast<unsigned>(step);
  return emulated::exchange("__shfl_xor_sync", mask, x, from / w <= mine / w ? from : mine);
}
