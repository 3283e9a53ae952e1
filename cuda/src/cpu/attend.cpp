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

constexpr float kMasked = -HUGE_VALF;

/// Scores of one slot, held while they become weights: at home in a core's second cache.
constexpr std::int64_t kScoresBytes = 320 << 10;
constexpr std::int64_t kMostRows = 16;
/// Rows from which on they are scored side by side in vectors, kMostRows at a time.
constexpr std::int64_t kPanelRows = 12;
/// The rows that grow over the heads, of all slots together.
constexpr std::int64_t kRowsBytes = 384 << 10;
/// Multiplications that are worth a thread.
constexpr std::int64_t kWork = 256 << 10;
/// Keys scored at a time by the widest vectors.
constexpr std::int64_t kMostWidth = 16;

/// How the work is cut. Items are blocks of queries for one part of the heads; they are dealt to the slots in turn.
/// Sums over heads are made per part: the parts follow from the call alone, so that no thread changes a result.
struct AttendPlan {
  AttendPlan(const AttendParams& p, std::int64_t threads)
      : group(p.heads / p.kv_heads),
        slots(std::clamp<std::int64_t>(p.heads * p.queries * p.keys * p.size / kWork, 1,
                                       std::max<std::int64_t>(1, threads))),
        parts(p.kv_heads),
        chunk(p.queries) {
    rows = std::clamp<std::int64_t>(kScoresBytes / (4 * std::max<std::int64_t>(1, padded(p.keys))), 1, kMostRows);
    if (rows > 4) rows -= rows % 4;  // whole tiles
    block = std::max<std::int64_t>(1, rows / group);
    rows = std::min(rows, block * group);
  }

  AttendPlan(const AttendReduceParams& p, std::int64_t threads) : AttendPlan(p.scores, threads) {
    const std::int64_t bytes = row_bytes(depth_of(p.by, p.scores.heads), p.to.cells);
    const std::int64_t wanted = chunk <= 4 ? 16 : std::max<std::int64_t>(1, 8 / blocks(chunk));
    // Rather fewer parts than a pass over K for each block of queries.
    const std::int64_t most = kRowsBytes / (bytes * std::clamp<std::int64_t>(chunk, 1, 2 * block));
    parts = std::clamp<std::int64_t>(std::min(wanted, most), 1, parts);
    chunk = std::min(chunk, std::max<std::int64_t>(1, kRowsBytes / (bytes * parts)));
  }

  std::int64_t blocks(std::int64_t queries) const { return (queries + block - 1) / block; }
  /// The first of a part's heads of K.
  std::int64_t head(std::int64_t part, std::int64_t kv_heads) const { return part * kv_heads / parts; }

  std::int64_t group;  ///< heads that share a head of K
  std::int64_t slots;
  std::int64_t parts;  ///< of the heads
  std::int64_t chunk;  ///< queries whose rows grow together
  std::int64_t rows;   ///< scored together: queries times heads of a group
  std::int64_t block;  ///< queries of an item
};

/// What the masks of all heads leave of a row.
struct Seen {
  std::int64_t end = 0;      ///< no key from here on is let through
  std::int64_t visible = 0;  ///< keys some head may see
};

/// Whether keys are read from a copy in floats. A panel reads each element alone, which would convert it each time.
bool decodes_keys(const AttendParams& p, const AttendPlan& plan) {
  return p.k_stride_d != 1 || (p.dtype != DType::F32 && plan.rows >= kPanelRows);
}

/// Of one slot.
struct AttendScratch {
  AttendScratch(Pieces& pieces, const AttendParams& p, const AttendPlan& plan)
      : scores_rk(pieces.take<float>(plan.rows * padded(p.keys))),
        q_rd(pieces.take<float>(plan.rows * padded(p.size))),
        q_dr(pieces.take<float>(plan.rows < kPanelRows ? 0 : p.size * kMostRows)),
        k_kd(pieces.take<float>(decodes_keys(p, plan) ? kMostWidth * padded(p.size) : 0)),
        mask_k(pieces.take<float>(p.mask_hqk == nullptr ? 0 : p.keys)) {}

  float* scores_rk;
  float* q_rd;
  float* q_dr;
  float* k_kd;
  float* mask_k;
};

std::int64_t limit_of(const AttendParams& p, std::int64_t t) {
  return p.causal ? std::min(p.keys, p.first_query + t + 1) : p.keys;
}

const void* query_at(const AttendParams& p, DType dtype, std::int64_t h, std::int64_t t) {
  if (p.q_t != nullptr) return at(p.q_t[t], dtype, p.q_row + h * p.q_stride_h);
  return at(p.q_hqd, dtype, h * p.q_stride_h + t * p.q_stride_q);
}

const void* mask_at(const AttendParams& p, std::int64_t h, std::int64_t t) {
  return at(p.mask_hqk, p.mask_dtype, h * p.mask_stride_h + t * p.mask_stride_q);
}

}  // namespace
}  // namespace gaze::kernels::cpu

#define GAZE_BODY "cpu/attend.inl"
#include "cpu/each_isa.hpp"

namespace gaze::kernels::cpu {
namespace {

/// The functions of one instruction set.
struct Body {
  decltype(&baseline::seen_of) seen_of;
  decltype(&baseline::attend_slot) attend_slot;
  decltype(&baseline::attend_reduce_slot) attend_reduce_slot;
  decltype(&baseline::attend_reduce_end) attend_reduce_end;
};

Body body(Isa isa) {
  switch (isa) {
    case Isa::Avx512:
      return {avx512::seen_of, avx512::attend_slot, avx512::attend_reduce_slot, avx512::attend_reduce_end};
    case Isa::Avx2:
      return {avx2::seen_of, avx2::attend_slot, avx2::attend_reduce_slot, avx2::attend_reduce_end};
    default:
      return {baseline::seen_of, baseline::attend_slot, baseline::attend_reduce_slot, baseline::attend_reduce_end};
  }
}

/// The workspace: what all slots share, then each slot's scratch.
struct Memory {
  Memory(void* workspace, const AttendParams& p, const AttendPlan& plan_)
      : plan(plan_), pieces(workspace), seen_t(pieces.take<Seen>(p.mask_hqk == nullptr ? 0 : plan.chunk)) {}
  AttendScratch scratch(const AttendParams& p, std::int64_t slot) const {
    Pieces own = pieces;
    for (std::int64_t before = 0; before < slot; ++before) AttendScratch(own, p, plan);
    return AttendScratch(own, p, plan);
  }
  std::size_t bytes(const AttendParams& p) const {
    Pieces all = pieces;
    for (std::int64_t slot = 0; slot < plan.slots; ++slot) AttendScratch(all, p, plan);
    return all.bytes();
  }

  AttendPlan plan;
  Pieces pieces;
  Seen* seen_t;
};

/// What the masks leave of the first `queries` rows; null without a mask.
const Seen* find_seen(const AttendParams& p, std::int64_t queries, const Memory& memory, const Parallel& parallel,
                      const Body& body) {
  if (p.mask_hqk == nullptr) return nullptr;
  run(parallel, memory.plan.slots, [&](std::int64_t slot) {
    const AttendScratch scratch = memory.scratch(p, slot);
    for (std::int64_t t = slot; t < queries; t += memory.plan.slots) memory.seen_t[t] = body.seen_of(p, t, scratch);
  });
  return memory.seen_t;
}

GrowingRows growing_rows(Memory& memory, const AttendReduceParams& p) {
  return GrowingRows(memory.pieces, memory.plan.parts * memory.plan.chunk, depth_of(p.by, p.scores.heads), p.to.cells);
}

/// The same call from query `first` on.
AttendReduceParams from_query(const AttendReduceParams& p, std::int64_t first) {
  AttendReduceParams rest = p;
  AttendParams& scores = rest.scores;
  scores.q_hqd = at(scores.q_hqd, scores.dtype, first * scores.q_stride_q);
  if (scores.q_t != nullptr) scores.q_t += first;
  if (scores.mask_hqk != nullptr)
    scores.mask_hqk = at(scores.mask_hqk, scores.mask_dtype, first * scores.mask_stride_q);
  scores.first_query += first;
  rest.to.map_tc += first * p.to.map_stride_t;
  rest.to.weight_t += first;
  rest.to.mass_t += first;
  rest.to.visible_t += first;
  rest.to.calls_t += first;
  rest.to.flags_t += first;
  rest.to.rows_t += first;
  return rest;
}

}  // namespace

std::size_t attend_workspace(const AttendParams& p, std::int64_t threads) {
  return Memory(nullptr, p, AttendPlan(p, threads)).bytes(p);
}

void attend(const AttendParams& p, float* out_hqk, void* workspace, const Parallel& parallel, Isa isa) {
  const Body body = cpu::body(isa);
  const Memory memory(workspace, p, AttendPlan(p, parallel.threads));
  const Seen* seen_t = find_seen(p, p.queries, memory, parallel, body);
  run(parallel, memory.plan.slots,
      [&](std::int64_t slot) { body.attend_slot(p, memory.plan, seen_t, memory.scratch(p, slot), slot, out_hqk); });
}

std::size_t attend_reduce_workspace(const AttendReduceParams& p, std::int64_t threads) {
  Memory memory(nullptr, p.scores, AttendPlan(p, threads));
  growing_rows(memory, p);
  return memory.bytes(p.scores);
}

void attend_reduce(const AttendReduceParams& p, void* workspace, const Parallel& parallel, Isa isa) {
  const Body body = cpu::body(isa);
  Memory memory(workspace, p.scores, AttendPlan(p, parallel.threads));
  const AttendPlan& plan = memory.plan;
  const GrowingRows rows = growing_rows(memory, p);
  for (std::int64_t t = 0; t < p.scores.queries; t += plan.chunk) {
    const std::int64_t queries = std::min(plan.chunk, p.scores.queries - t);
    const AttendReduceParams chunk = from_query(p, t);
    std::fill_n(rows.sum_t, plan.parts * plan.chunk, RowSum());
    const Seen* seen_t = find_seen(chunk.scores, queries, memory, parallel, body);
    run(parallel, plan.slots, [&](std::int64_t slot) {
      body.attend_reduce_slot(chunk, plan, queries, seen_t, memory.scratch(p.scores, slot), slot, rows);
    });
    const std::int64_t ends = queries > 1 ? plan.slots : 1;
    run(parallel, ends, [&](std::int64_t slot) {
      for (std::int64_t i = slot; i < queries; i += ends) body.attend_reduce_end(chunk, plan, i, seen_t, rows);
    });
  }
}

}  // namespace gaze::kernels::cpu
