// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gaze/ops/quantise.hpp>

#include "check.hpp"
#include "quiet.hpp"
#include "reduction.hpp"

namespace gaze::ops {

void quantise_out(const at::Tensor& weight_hqk, const QuantisedRows& rows) {
  constexpr const char* op = "quantise";
  check_tensor(op, "weight_hqk", weight_hqk);
  GAZE_CHECK(weight_hqk.dim() == 3, op, "weight_hqk", "[heads, queries, keys], got ", weight_hqk.sizes());
  kernels::QuantiseParams p;
  p.dtype = weight_dtype(op, "weight_hqk", weight_hqk);
  check_like(op, "root_hqk", rows.root_hqk, at::kByte, weight_hqk.device());
  check_sizes(op, "root_hqk", rows.root_hqk, weight_hqk.sizes());
  GAZE_CHECK(rows.root_hqk.size(2) < 2 || rows.root_hqk.stride(2) == 1, op, "root_hqk", "adjacent keys, got strides ",
             rows.root_hqk.strides());
  check_like(op, "most_hq", rows.most_hq, at::kFloat, weight_hqk.device());
  check_sizes(op, "most_hq", rows.most_hq, weight_hqk.sizes().slice(0, 2));
  if (rows.most_hq.numel() == 0) return;
  const Quiet quiet;
  p.weight_hqk = weight_hqk.const_data_ptr();
  p.heads = weight_hqk.size(0);
  p.queries = weight_hqk.size(1);
  p.keys = weight_hqk.size(2);
  p.stride_h = weight_hqk.stride(0);
  p.stride_q = weight_hqk.stride(1);
  p.stride_k = weight_hqk.stride(2);
  p.root_hqk = static_cast<uint8_t*>(rows.root_hqk.data_ptr());
  p.root_stride_h = rows.root_hqk.stride(0);
  p.root_stride_q = rows.root_hqk.stride(1);
  p.most_hq = static_cast<float*>(rows.most_hq.data_ptr());
  p.most_stride_h = rows.most_hq.stride(0);
  p.most_stride_q = rows.most_hq.stride(1);
  kernels_for(weight_hqk).quantise(p, weight_hqk.get_device());
}

QuantisedRows quantise(const at::Tensor& weight_hqk) {
  GAZE_CHECK(weight_hqk.defined() && weight_hqk.dim() == 3, "quantise", "weight_hqk", "[heads, queries, keys], got ",
             weight_hqk.defined() ? weight_hqk.dim() : 0, " dimensions");
  const auto options = at::TensorOptions(weight_hqk.device());
  const QuantisedRows rows = {at::empty(weight_hqk.sizes(), options.dtype(at::kByte)),
                              at::empty(weight_hqk.sizes().slice(0, 2), options.dtype(at::kFloat))};
  quantise_out(weight_hqk, rows);
  return rows;
}

at::Tensor dequantise(const QuantisedRows& rows) {
  return rows.root_hqk.to(at::kFloat).div_(255).square().mul_(rows.most_hq.unsqueeze(-1));
}

}  // namespace gaze::ops
