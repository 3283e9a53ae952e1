// SPDX-License-Identifier: MIT
// What reduce and attend_reduce share: rows that grow head by head, and where they lie.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/vector.hpp"
#include "kernels.hpp"

namespace gaze::kernels::cpu {

/// One row over the heads taken so far.
struct RowSum {
  double mass = 0;         ///< over heads
  double focus = 0;        ///< over heads, for Weighted
  std::int64_t taken = 0;  ///< heads (TopK: rows) that row_kc holds
  std::int32_t flags = 0;
  bool any = false;  ///< some head sees something
};

/// One of the heads with the most focus among those seen, for TopK.
struct Kept {
  double focus;
  std::int64_t head;
};

constexpr std::int64_t kCacheLine = 64;

constexpr std::int64_t rounded_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

/// Floats from one row of a matrix to the next, so that any vector may be read and written whole.
constexpr std::int64_t padded(std::int64_t count) {
  return rounded_up(count, kCacheLine / static_cast<std::int64_t>(sizeof(float)));
}

/// Hands out pieces of a workspace, each on a cache line of its own. From null: only counts.
class Pieces {
 public:
  explicit Pieces(void* workspace) : at_(static_cast<char*>(workspace)) {
    if (at_ != nullptr) {
      const auto address = reinterpret_cast<std::uintptr_t>(at_);
      at_ += rounded_up(static_cast<std::int64_t>(address), kCacheLine) - static_cast<std::int64_t>(address);
    }
  }
  template <typename T>
  T* take(std::int64_t count) {
    T* const piece = at_ == nullptr ? nullptr : reinterpret_cast<T*>(at_ + used_);
    used_ += rounded_up(count * static_cast<std::int64_t>(sizeof(T)), kCacheLine);
    return piece;
  }
  /// Of a workspace at any address.
  std::size_t bytes() const { return static_cast<std::size_t>(used_ + kCacheLine); }

 private:
  char* at_;
  std::int64_t used_ = 0;
};

/// Rows held per query: more than one only where it takes all heads to know which count.
inline std::int64_t depth_of(const Reduction& by, std::int64_t heads) {
  return by.heads == HeadReduce::TopK ? std::min(by.k, heads) : 1;
}

/// Bytes of one query's rows.
inline std::int64_t row_bytes(std::int64_t depth, std::int64_t cells) {
  return depth * padded(cells) * static_cast<std::int64_t>(sizeof(float));
}

struct GrowingRow {
  RowSum* sum;
  Kept* kept_k;
  float* row_kc;  ///< rows padded(cells) apart
};

struct GrowingRows {
  GrowingRows(Pieces& pieces, std::int64_t rows, std::int64_t depth_, std::int64_t cells)
      : depth(depth_),
        stride(depth_ * padded(cells)),
        sum_t(pieces.take<RowSum>(rows)),
        kept_tk(pieces.take<Kept>(rows * depth_)),
        row_tkc(pieces.take<float>(rows * stride)) {}
  GrowingRow operator[](std::int64_t t) const { return {sum_t + t, kept_tk + t * depth, row_tkc + t * stride}; }

  std::int64_t depth, stride;
  RowSum* sum_t;
  Kept* kept_tk;
  float* row_tkc;
};

/// A head's focus: its mass on the medium times how unevenly that is spread. `entropy` is that of the renormalised
/// slice, `most` that of a uniform one. As a float: rounding must not decide which of two equal heads ranks first.
inline double focus_of(double mass, double entropy, double most) {
  const double evenness = most > 0 && mass > 0 ? share_of_entropy(entropy, most) : 0;
  return static_cast<double>(static_cast<float>(mass * (1 - evenness)));
}

/// Counts a row that only leaves its flags.
inline void add_flags(const AccumulatorRows& to, std::int64_t token, std::int32_t flags) {
  to.flags_t[token] |= flags;
  to.calls_t[token] += 1;
}

/// Runs work(i) for every i below `count`, on the threads that are given.
template <typename Work>
void run(const Parallel& parallel, std::int64_t count, const Work& work) {
  if (count == 1 || parallel.each == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) work(i);
  } else {
    parallel.each(
        count, [](const void* task, std::int64_t i) { (*static_cast<const Work*>(task))(i); }, &work);
  }
}

}  // namespace gaze::kernels::cpu
