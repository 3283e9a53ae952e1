// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/ops/attend.hpp>

#include <cmath>
#include <vector>

#include "check.hpp"
#include "quiet.hpp"
#include "reduction.hpp"

namespace gaze::ops {
namespace {

static_assert(kAsGoodAsMasked == kernels::kAsGoodAsMasked);

kernels::AttendParams attend_params(const char* op, const Scores& scores, const RowRange& range) {
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
  check_queries(op, range, q.size(0), q.size(2));
  p.q_hqd = element(q, range.batch * q.stride(0) + range.first_query * q.stride(2));
  p.k_hkd = element(k, range.batch * k.stride(0));
  p.heads = q.size(1);
  p.kv_heads = k.size(1);
  p.queries = range.queries;
  p.keys = k.size(2);
  p.size = q.size(3);
  p.q_stride_h = q.stride(1);
  p.q_stride_q = q.stride(2);
  p.q_stride_d = q.stride(3);
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
    const int64_t full[4] = {q.size(0), p.heads, q.size(2), p.keys};
    int64_t stride[4] = {};
    bool fits = mask.dim() <= 4;
    for (int64_t d = 0; fits && d < mask.dim(); ++d) {
      const int64_t axis = d + 4 - mask.dim();
      fits = mask.size(d) == full[axis] || mask.size(d) == 1;
      stride[axis] = mask.size(d) == 1 ? 0 : mask.stride(d);
    }
    GAZE_CHECK(fits, op, "mask", "a shape that broadcasts to ", at::IntArrayRef(full), ", got ", mask.sizes());
    p.mask_hqk = element(mask, range.batch * stride[0] + range.first_query * stride[2]);
    p.mask_stride_h = stride[1];
    p.mask_stride_q = stride[2];
    p.mask_stride_k = stride[3];
  }
  return p;
}

kernels::AttendReduceParams attend_reduce_params(const Scores& scores, const RowRange& range,
                                                 const ReduceOptions& options, const Accumulator& accumulator) {
  constexpr const char* op = "attend_reduce";
  kernels::AttendReduceParams p;
  p.scores = attend_params(op, scores, range);
  p.first_key = range.first_key;
  kernels::AttendParams& a = p.scores;
  a.all_heads = a.heads;
  a.q_pick = pick(op, range, a.all_heads, 1);
  a.k_pick = pick(op, range, a.all_heads, a.all_heads / a.kv_heads);
  if (a.q_pick.some) a.heads = a.kv_heads = static_cast<int64_t>(range.heads.size());
  p.by = reduction(op, options, p.scores.heads);
  p.to = rows(op, accumulator, range, p.scores.keys, scores.q_bhqd.device());
  return p;
}

}  // namespace

at::Tensor attend(const Scores& scores, const RowRange& range) {
  const at::Tensor& q = scores.q_bhqd;
  const auto params = attend_params("attend", scores, range);
  const Quiet quiet;
  at::Tensor out_hqk = at::empty({params.heads, params.queries, params.keys}, q.options().dtype(at::kFloat));
  kernels_for(q).attend(params, out_hqk.data_ptr<float>(), q.get_device());
  return out_hqk;
}

void attend_reduce(const Scores& scores, const RowRange& range, const ReduceOptions& options, Accumulator& to) {
  const auto params = attend_reduce_params(scores, range, options, to);
  kernels_for(scores.q_bhqd).attend_reduce(&params, 1, scores.q_bhqd.get_device());
}

void attend_reduce(c10::ArrayRef<AttendCall> calls, const ReduceOptions& options, Accumulator& to) {
  if (calls.size() < 2 || !calls.front().scores.q_bhqd.is_cuda()) {
    for (const AttendCall& call : calls) attend_reduce(call.scores, call.range, options, to);
    return;
  }
  std::vector<kernels::AttendReduceParams> shared;
  const auto launch = [&] {
    if (!shared.empty()) {
      kernels_for(to.map_tc).attend_reduce(shared.data(), static_cast<int>(shared.size()), to.map_tc.get_device());
    }
    shared.clear();
  };
  for (const AttendCall& call : calls) {
    const auto params = attend_reduce_params(call.scores, call.range, options, to);
    const auto fits = [&](const kernels::AttendReduceParams& first) {
      return first.scores.queries == params.scores.queries && first.scores.dtype == params.scores.dtype &&
             first.first_key == params.first_key && first.to.map_tc == params.to.map_tc;
    };
    if (!shared.empty() && (!fits(shared.front()) || shared.size() == size_t{kernels::cuda::kMostCalls})) launch();
    shared.push_back(params);
  }
  launch();
}

}  // namespace gaze::ops
