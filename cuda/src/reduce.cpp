// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <gaze/ops/reduce.hpp>

#include "check.hpp"
#include "quiet.hpp"
#include "reduction.hpp"

namespace gaze::ops {
namespace {

/// Rounding in the weights' dtype, summed over a long row.
float sum_tolerance(kernels::DType dtype) {
  return dtype == kernels::DType::F32 ? 1e-3f : dtype == kernels::DType::F16 ? 5e-3f : 2e-2f;
}

kernels::ReduceParams reduce_params(const at::Tensor& attn_bhqk, const RowRange& range, const ReduceOptions& options,
                                    const Accumulator& accumulator) {
  constexpr const char* op = "reduce";
  check_tensor(op, "attn_bhqk", attn_bhqk);
  GAZE_CHECK(attn_bhqk.dim() == 4 && attn_bhqk.size(1) >= 1, op, "attn_bhqk",
             "[batch, heads, queries, keys] with at least one head, got ", attn_bhqk.sizes());
  check_queries(op, range, attn_bhqk.size(0), attn_bhqk.size(2));
  kernels::ReduceParams p;
  p.dtype = weight_dtype(op, "attn_bhqk", attn_bhqk);
  p.attn_hqk = element(attn_bhqk, range.batch * attn_bhqk.stride(0) + range.first_query * attn_bhqk.stride(2));
  p.heads = attn_bhqk.size(1);
  p.queries = range.queries;
  p.keys = attn_bhqk.size(3);
  p.stride_h = attn_bhqk.stride(1);
  p.stride_q = attn_bhqk.stride(2);
  p.stride_k = attn_bhqk.stride(3);
  p.first_key = range.first_key;
  p.sum_least = range.partial ? 0 : 1 - sum_tolerance(p.dtype);
  p.sum_most = 1 + sum_tolerance(p.dtype);
  p.all_heads = p.heads;
  p.pick = pick(op, range, p.all_heads);
  if (p.pick.some) p.heads = static_cast<int64_t>(range.heads.size());
  p.by = reduction(op, options, p.heads);
  p.to = rows(op, accumulator, range, p.keys, attn_bhqk.device());
  return p;
}

int64_t tokens_of(const char* op, const Accumulator& accumulator, int64_t tokens) {
  check_tensor(op, "accumulator.map_tc", accumulator.map_tc);
  check_tensor(op, "accumulator.weight_t", accumulator.weight_t);
  check_tensor(op, "accumulator.mass_t", accumulator.mass_t);
  check_tensor(op, "accumulator.visible_t", accumulator.visible_t);
  check_tensor(op, "accumulator.rows_t", accumulator.rows_t);
  GAZE_CHECK(tokens >= 0 && tokens <= accumulator.map_tc.size(0), op, "tokens", "0..", accumulator.map_tc.size(0),
             ", got ", tokens);
  return tokens;
}

constexpr int64_t kColumns = 6;
static_assert(accumulator_floats(1, 0) == kColumns);

/// One piece of memory: the columns, then the map. Rows of a batch lie alike, and share a kernel's launch.
Accumulator laid_out(const at::Tensor& all, int64_t tokens, int64_t cells) {
  const auto column = [&](int64_t n) { return all.narrow(0, n * tokens, tokens); };
  const auto whole = [&](int64_t n) { return column(n).view(at::kInt); };
  return {all.narrow(0, kColumns * tokens, tokens * cells).view({tokens, cells}),
          column(0),
          column(1),
          column(2),
          whole(3),
          whole(4),
          whole(5)};
}

constexpr at::Tensor Accumulator::*kColumnFields[kColumns] = {&Accumulator::weight_t,  &Accumulator::mass_t,
                                                              &Accumulator::visible_t, &Accumulator::calls_t,
                                                              &Accumulator::flags_t,   &Accumulator::rows_t};

/// [kColumns, tokens], where they lie side by side.
at::Tensor columns_of(const Accumulator& of) {
  const int64_t tokens = of.map_tc.size(0), first = of.weight_t.storage_offset();
  for (int64_t n = 0; n < kColumns; ++n) {
    const at::Tensor& column = of.*kColumnFields[n];
    if (!column.is_alias_of(of.weight_t) || column.storage_offset() != first + n * tokens) return {};
  }
  return of.weight_t.as_strided({kColumns, tokens}, {tokens, 1}, first);
}

}  // namespace

Accumulator make_accumulator(int64_t tokens, int64_t cells, at::Device device) {
  constexpr const char* op = "make_accumulator";
  GAZE_CHECK(tokens >= 0, op, "tokens", "at least 0, got ", tokens);
  GAZE_CHECK(cells >= 1, op, "cells", "at least 1, got ", cells);
  // Ordinary tensors, so that the host may open a request in inference mode and answer it outside, or the reverse.
  const c10::InferenceMode off(false);
  const Quiet quiet;
  return laid_out(at::zeros({accumulator_floats(tokens, cells)}, at::TensorOptions().dtype(at::kFloat).device(device)),
                  tokens, cells);
}

Accumulator accumulator_in(const at::Tensor& memory, int64_t tokens, int64_t cells) {
  constexpr const char* op = "accumulator_in";
  check_tensor(op, "memory", memory);
  check_like(op, "memory", memory, at::kFloat, memory.device());
  GAZE_CHECK(tokens >= 0 && cells >= 1 && memory.dim() == 1 && memory.is_contiguous() &&
                 memory.size(0) == accumulator_floats(tokens, cells),
             op, "memory", "[", accumulator_floats(tokens, cells), "], contiguous, got ", memory.sizes());
  const c10::InferenceMode off(false);
  const Quiet quiet;
  return laid_out(memory, tokens, cells);
}

void reduce(const at::Tensor& attn_bhqk, const RowRange& range, const ReduceOptions& options, Accumulator& to) {
  const auto params = reduce_params(attn_bhqk, range, options, to);
  kernels_for(attn_bhqk).reduce(params, attn_bhqk.get_device());
}

void merge(Accumulator& to, const Accumulator& from, const ReduceOptions& options) {
  check_tensor("merge", "to.map_tc", to.map_tc);
  check_tensor("merge", "from.map_tc", from.map_tc);
  check_sizes("merge", "from.map_tc", from.map_tc, to.map_tc.sizes());
  const Quiet quiet;
  const at::Device device = to.map_tc.device();
  const at::Tensor map_tc = from.map_tc.to(device), weight_t = from.weight_t.to(device);
  switch (options.layers) {
    case LayerReduce::Max:
      to.map_tc.copy_(at::maximum(to.map_tc, map_tc));
      to.weight_t.copy_(at::maximum(to.weight_t, weight_t));
      break;
    case LayerReduce::Last: {
      // Only one layer is captured then: rows are of the one or of the other.
      const at::Tensor filled_t = from.rows_t.to(device).gt(0);
      to.map_tc.copy_(at::where(filled_t.unsqueeze(1), map_tc, to.map_tc));
      to.weight_t.copy_(at::where(filled_t, weight_t, to.weight_t));
      break;
    }
    default:
      to.map_tc.add_(map_tc);
      to.weight_t.add_(weight_t);
  }
  to.mass_t.add_(from.mass_t.to(device));
  to.visible_t.add_(from.visible_t.to(device));
  to.calls_t.add_(from.calls_t.to(device));
  to.rows_t.add_(from.rows_t.to(device));
  to.flags_t.bitwise_or_(from.flags_t.to(device));
}

Accumulator first_tokens(const Accumulator& accumulator, int64_t tokens) {
  tokens = tokens_of("first_tokens", accumulator, tokens);
  const c10::InferenceMode off(false);
  const Quiet quiet;
  const int64_t cells = accumulator.map_tc.size(1);
  const at::Tensor all = at::empty({accumulator_floats(tokens, cells)}, accumulator.map_tc.options());
  Accumulator copy = laid_out(all, tokens, cells);
  copy.map_tc.copy_(accumulator.map_tc.narrow(0, 0, tokens), /*non_blocking=*/true);
  if (const at::Tensor columns = columns_of(accumulator); columns.defined()) {
    all.narrow(0, 0, kColumns * tokens).view({kColumns, tokens}).copy_(columns.narrow(1, 0, tokens), true);
    return copy;
  }
  for (const auto field : kColumnFields) (copy.*field).copy_((accumulator.*field).narrow(0, 0, tokens), true);
  return copy;
}

Reduced finish(const Accumulator& accumulator, int64_t tokens, const ReduceOptions& options) {
  tokens = tokens_of("finish", accumulator, tokens);
  GAZE_CHECK(options.layers != LayerReduce::Rollout, "finish", "options.layers",
             "a reduction that can be accumulated, got Rollout (see gaze::ops::rollout)");
  const Quiet quiet;
  const at::Tensor weight_t = accumulator.weight_t.narrow(0, 0, tokens);
  const at::Tensor rows_t = accumulator.rows_t.narrow(0, 0, tokens);
  const auto mean = [](const at::Tensor& sum, const at::Tensor& count) {
    return at::where(count.gt(0), sum.div(count), at::zeros_like(sum));
  };
  return {mean(accumulator.map_tc.narrow(0, 0, tokens), weight_t.unsqueeze(1)),
          mean(accumulator.mass_t.narrow(0, 0, tokens), rows_t),
          mean(accumulator.visible_t.narrow(0, 0, tokens), rows_t)};
}

}  // namespace gaze::ops
