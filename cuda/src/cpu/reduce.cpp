// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "cpu/intrinsics.hpp"
#include "cpu/row.hpp"
#include "cpu/vector.hpp"

namespace gaze::kernels::cpu {
namespace {

/// Of a slot's rows: they stay in its core's cache while the heads stream by.
constexpr std::int64_t kRowsBytes = 96 << 10;
constexpr std::int64_t kMostRows = 64;
/// Elements that are worth a thread.
constexpr std::int64_t kWork = 128 << 10;

/// Words of seen bits for `keys` keys, with the narrowest vectors.
constexpr std::int64_t words(std::int64_t keys) { return (keys + 3) / 4; }

std::int64_t row_words(const ReduceParams& p) {
  return words(p.first_key) + words(p.to.cells) + words(p.keys - p.first_key - p.to.cells);
}

/// Rows that are reduced together, and into how many slots they are dealt.
struct ReducePlan {
  ReducePlan(const ReduceParams& p, std::int64_t threads)
      : slots(std::max<std::int64_t>(1, std::min({threads, p.queries, p.heads * p.queries * p.keys / kWork}))) {
    const std::int64_t bytes = row_bytes(depth_of(p.by, p.heads), p.to.cells);
    rows = std::clamp<std::int64_t>(kRowsBytes / bytes, 1, kMostRows);
    rows = std::min(rows, std::max<std::int64_t>(1, (p.queries + slots - 1) / slots));
  }
  std::int64_t slots, rows;
};

struct ReduceScratch {
  ReduceScratch(Pieces& pieces, const ReduceParams& p, const ReducePlan& plan)
      : rows(pieces, plan.rows, depth_of(p.by, p.heads), p.to.cells),
        seen(pieces.take<std::uint16_t>(plan.rows * row_words(p))),
        decoded_k(pieces.take<float>(p.stride_k == 1 ? 0 : p.keys)) {}

  GrowingRows rows;
  std::uint16_t* seen;
  float* decoded_k;
};

}  // namespace
}  // namespace gaze::kernels::cpu

#define GAZE_BODY "cpu/reduce.inl"
#include "cpu/each_isa.hpp"

namespace gaze::kernels::cpu {

std::size_t reduce_workspace(const ReduceParams& p, std::int64_t threads) {
  const ReducePlan plan(p, threads);
  Pieces pieces(nullptr);
  for (std::int64_t slot = 0; slot < plan.slots; ++slot) ReduceScratch(pieces, p, plan);
  return pieces.bytes();
}

void reduce(const ReduceParams& p, void* workspace, const Parallel& parallel, Isa isa) {
  const auto block = isa == Isa::Avx512 ? avx512::reduce_block
                     : isa == Isa::Avx2 ? avx2::reduce_block
                                        : baseline::reduce_block;
  const ReducePlan plan(p, parallel.threads);
  run(parallel, plan.slots, [&](std::int64_t slot) {
    Pieces pieces(workspace);
    for (std::int64_t before = 0; before < slot; ++before) ReduceScratch(pieces, p, plan);
    const ReduceScratch scratch(pieces, p, plan);
    for (std::int64_t t = slot * plan.rows; t < p.queries; t += plan.slots * plan.rows) {
      block(p, scratch, t, std::min(t + plan.rows, p.queries));
    }
  });
}

}  // namespace gaze::kernels::cpu
