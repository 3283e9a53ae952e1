// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <c10/util/SmallVector.h>
#include <gaze/ops/attend.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include "check.hpp"
#include "quiet.hpp"
#include "reduction.hpp"

namespace gaze::ops {
namespace {

static_assert(kAsGoodAsMasked == kernels::kAsGoodAsMasked);

/// @param queries  that the range may choose from
kernels::AttendParams attend_params(const char* op, const Scores& scores, const RowRange& range, int64_t queries) {
  const at::Tensor& q = scores.q_bhqd;
  const at::Tensor& k = scores.k_bhkd;
  check_tensor(op, "q_bhqd", q);
  GAZE_CHECK(q.dim() == 4 && q.size(1) >= 1 && q.size(3) >= 1, op, "q_bhqd",
             "[batch, heads, queries, size] with at least one head and size, got ", q.sizes());
  kernels::AttendParams p;
  p.dtype = weight_dtype(op, "q_bhqd", q);
  check_like(op, "k_bhkd", k, q.scalar_type(), q.device());
  GAZE_CHECK(k.dim() == 4 && k.size(0) == q.size(0) && k.size(3) == q.size(3), op, "k_bhkd",
             "[batch, kv_heads, keys, size] = [", q.size(0), ", *, *, ", q.size(3), "], got ", k.sizes());
  GAZE_CHECK(k.size(1) >= 1 && q.size(1) % k.size(1) == 0, op, "k_bhkd", "kv_heads that divide ", q.size(1),
             " heads, got ", k.size(1));
  check_queries(op, range, q.size(0), queries);
  p.q_hqd = element(q, range.batch * q.stride(0) + range.first_query * q.stride(2));
  p.k_hkd = element(k, range.batch * k.stride(0));
  p.heads = q.size(1);
  p.kv_heads = k.size(1);
  p.queries = range.queries;
  p.keys = k.size(2);
  p.size = q.size(3);
  p.q_stride_b = q.stride(0);
  p.q_stride_h = q.stride(1);
  p.q_stride_q = q.stride(2);
  p.q_stride_d = q.stride(3);
  p.k_stride_b = k.stride(0);
  p.k_stride_h = k.stride(1);
  p.k_stride_k = k.stride(2);
  p.k_stride_d = k.stride(3);
  p.causal = scores.causal;
  GAZE_CHECK(scores.causal_offset >= 0, op, "causal_offset", "at least 0, got ", scores.causal_offset);
  p.first_query = range.first_query + scores.causal_offset;
  const double scale = scores.scale.value_or(1 / std::sqrt(static_cast<double>(p.size)));
  GAZE_CHECK(std::isfinite(scale), op, "scale", "a finite number, got ", scale);
  p.scale = static_cast<float>(scale);

  if (scores.mask.has_value() && scores.mask->defined()) {
    const at::Tensor& mask = *scores.mask;
    check_tensor(op, "mask", mask);
    GAZE_CHECK(mask.device() == q.device(), op, "mask", "device ", q.device(), ", got ", mask.device());
    p.mask_dtype = mask.scalar_type() == at::kBool ? kernels::DType::Bool : weight_dtype(op, "mask (Bool aside)", mask);
    const int64_t full[4] = {q.size(0), p.heads, queries, p.keys};
    int64_t stride[4] = {};
    bool fits = mask.dim() <= 4;
    for (int64_t d = 0; fits && d < mask.dim(); ++d) {
      const int64_t axis = d + 4 - mask.dim();
      fits = mask.size(d) == full[axis] || mask.size(d) == 1;
      stride[axis] = mask.size(d) == 1 ? 0 : mask.stride(d);
    }
    GAZE_CHECK(fits, op, "mask", "a shape that broadcasts to ", at::IntArrayRef(full), ", got ", mask.sizes());
    p.mask_hqk = element(mask, range.batch * stride[0] + range.first_query * stride[2]);
    p.mask_stride_b = stride[0];
    p.mask_stride_h = stride[1];
    p.mask_stride_q = stride[2];
    p.mask_stride_k = stride[3];
  }
  return p;
}

/// Pointers to the queries of a call that lie apart.
using ApartQueries = c10::SmallVector<const void*, kernels::cuda::kMostApartQueries>;

ApartQueries apart_queries(const char* op, const AttendCall& call) {
  ApartQueries at;
  const at::Tensor& like = call.scores.q_bhqd;
  for (const at::Tensor& q : call.queries_t) {
    check_like(op, "queries_t", q, like.scalar_type(), like.device());
    GAZE_CHECK(q.sizes() == like.sizes() && q.strides() == like.strides() && q.dim() == 4 && q.size(2) == 1, op,
               "queries_t", "one query, ", like.sizes(), " with strides ", like.strides(), ", got ", q.sizes(),
               " with strides ", q.strides());
    at.push_back(element(q, call.range.batch * q.stride(0)));
  }
  GAZE_CHECK(call.range.first_query == 0 && call.range.queries == static_cast<int64_t>(at.size()), op, "range.queries",
             "the ", at.size(), " of queries_t, got ", call.range.queries, " from ", call.range.first_query);
  return at;
}

kernels::AttendReduceParams attend_reduce_params(const Scores& scores, const RowRange& range, int64_t queries,
                                                 const ReduceOptions& options, const Accumulator& accumulator) {
  constexpr const char* op = "attend_reduce";
  kernels::AttendReduceParams p;
  p.scores = attend_params(op, scores, range, queries);
  p.first_key = range.first_key;
  kernels::AttendParams& a = p.scores;
  a.all_heads = a.heads;
  a.pick = pick(op, range, a.all_heads);
  a.pick_group = a.heads / a.kv_heads;
  if (a.pick.some) a.heads = a.kv_heads = static_cast<int64_t>(range.heads.size());
  p.by = reduction(op, options, p.scores.heads);
  p.to = rows(op, accumulator, range, p.scores.keys, scores.q_bhqd.device());
  return p;
}

int64_t bytes_between(const void* from, const void* to) {
  return static_cast<int64_t>(reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from));
}

/// Where `to` lies from `from`; none: its figures lie differently among each other.
std::optional<kernels::RowOffset> offset(const kernels::AccumulatorRows& from, const kernels::AccumulatorRows& to) {
  const kernels::RowOffset by = {bytes_between(from.map_tc, to.map_tc), bytes_between(from.weight_t, to.weight_t)};
  const kernels::AccumulatorRows moved = kernels::shifted(from, by);
  const bool same = moved.mass_t == to.mass_t && moved.visible_t == to.visible_t && moved.calls_t == to.calls_t &&
                    moved.flags_t == to.flags_t && moved.rows_t == to.rows_t && from.map_stride_t == to.map_stride_t &&
                    from.cells == to.cells;
  return same ? std::optional(by) : std::nullopt;
}

/// Calls that share launches, for the batch rows `first` to first + rows - 1 of their ranges.
void reduce_together(c10::ArrayRef<AttendCall> calls, const ReduceOptions& options,
                     c10::ArrayRef<Accumulator*> accumulators, int64_t first) {
  constexpr const char* op = "attend_reduce";
  const auto range_of = [&](const AttendCall& call, int64_t row) {
    RowRange range = call.range;
    range.batch += row;
    return range;
  };
  const AttendCall& front = calls.front();
  const at::Tensor& q = front.scores.q_bhqd;
  c10::SmallVector<kernels::RowOffset, 8> offset_b;
  const auto here =
      rows(op, *accumulators[static_cast<size_t>(first)], front.range, front.scores.k_bhkd.size(2), q.device());
  for (size_t b = static_cast<size_t>(first); b < accumulators.size(); ++b) {
    const auto by = offset(here, rows(op, *accumulators[b], front.range, front.scores.k_bhkd.size(2), q.device()));
    if (!by) break;
    offset_b.push_back(*by);
  }
  c10::SmallVector<ApartQueries, 1> apart;
  c10::SmallVector<kernels::AttendReduceParams, 1> shared;
  apart.reserve(calls.size());
  for (const AttendCall& call : calls) {
    const bool lie_apart = !call.queries_t.empty();
    const auto queries = lie_apart ? static_cast<int64_t>(call.queries_t.size()) : call.scores.q_bhqd.size(2);
    RowRange last = range_of(call, first + static_cast<int64_t>(offset_b.size()) - 1);
    check_queries(op, last, call.scores.q_bhqd.size(0), queries);
    AttendCall of_row = call;
    of_row.range = range_of(call, first);
    shared.push_back(
        attend_reduce_params(call.scores, of_row.range, queries, options, *accumulators[static_cast<size_t>(first)]));
    if (!lie_apart) continue;
    apart.push_back(apart_queries(op, of_row));
    shared.back().scores.q_t = apart.back().data();
  }
  kernels_for(q).attend_reduce(shared.data(), static_cast<int>(shared.size()), offset_b.data(),
                               static_cast<int64_t>(offset_b.size()), q.get_device());
  const auto done = first + static_cast<int64_t>(offset_b.size());
  if (done < static_cast<int64_t>(accumulators.size())) reduce_together(calls, options, accumulators, done);
}

/// Whether two calls may share launches.
bool alike(const AttendCall& a, const AttendCall& b) {
  const RowRange &x = a.range, &y = b.range;
  return x.batch == y.batch && x.queries == y.queries && x.first_key == y.first_key && x.first_token == y.first_token &&
         a.queries_t.empty() == b.queries_t.empty() && a.scores.q_bhqd.scalar_type() == b.scores.q_bhqd.scalar_type() &&
         a.scores.q_bhqd.device() == b.scores.q_bhqd.device();
}

}  // namespace

at::Tensor attend(const Scores& scores, const RowRange& range) {
  const at::Tensor& q = scores.q_bhqd;
  const auto params = attend_params("attend", scores, range, q.dim() == 4 ? q.size(2) : 0);
  const Quiet quiet;
  at::Tensor out_hqk = at::empty({params.heads, params.queries, params.keys}, q.options().dtype(at::kFloat));
  kernels_for(q).attend(params, out_hqk.data_ptr<float>(), q.get_device());
  return out_hqk;
}

void attend_reduce(const Scores& scores, const RowRange& range, const ReduceOptions& options, Accumulator& to) {
  const at::Tensor& q = scores.q_bhqd;
  const auto params = attend_reduce_params(scores, range, q.dim() == 4 ? q.size(2) : 0, options, to);
  const kernels::RowOffset none;
  kernels_for(q).attend_reduce(&params, 1, &none, 1, q.get_device());
}

void attend_reduce(c10::ArrayRef<AttendCall> calls, const ReduceOptions& options,
                   c10::ArrayRef<Accumulator*> accumulators) {
  if (accumulators.empty()) return;
  while (!calls.empty()) {
    const auto other =
        std::find_if(calls.begin(), calls.end(), [&](const AttendCall& call) { return !alike(call, calls.front()); });
    const auto count = static_cast<size_t>(other - calls.begin());
    reduce_together(calls.slice(0, count), options, accumulators, 0);
    calls = calls.slice(count);
  }
}

}  // namespace gaze::ops
