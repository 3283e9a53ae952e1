// SPDX-License-Identifier: MIT
// Products of maps: rollout over layers, and through latents.
#include <ATen/ops/addmm.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/reduce.hpp>

#include "check.hpp"
#include "quiet.hpp"

namespace gaze::ops {

at::Tensor rollout(const at::Tensor& attn_lqk) {
  constexpr const char* op = "rollout";
  check_like(op, "attn_lqk", attn_lqk, at::kFloat, attn_lqk.defined() ? attn_lqk.device() : at::Device(at::kCPU));
  GAZE_CHECK(attn_lqk.dim() == 3 && attn_lqk.size(1) == attn_lqk.size(2), op, "attn_lqk", "[layers, n, n], got ",
             attn_lqk.sizes());
  const Quiet quiet;
  at::Tensor product = at::eye(attn_lqk.size(1), attn_lqk.options());
  for (int64_t layer = 0; layer < attn_lqk.size(0); ++layer) rollout_layer(product, attn_lqk.select(0, layer));
  return product;
}

void rollout_layer(at::Tensor& product_nn, const at::Tensor& attn_nn) {
  constexpr const char* op = "rollout_layer";
  check_like(op, "attn_nn", attn_nn, at::kFloat, attn_nn.defined() ? attn_nn.device() : at::Device(at::kCPU));
  GAZE_CHECK(attn_nn.dim() == 2 && attn_nn.size(0) == attn_nn.size(1), op, "attn_nn", "[n, n], got ", attn_nn.sizes());
  const Quiet quiet;
  if (!product_nn.defined()) product_nn = at::eye(attn_nn.size(1), attn_nn.options());
  check_like(op, "product_nn", product_nn, at::kFloat, attn_nn.device());
  check_sizes(op, "product_nn", product_nn, attn_nn.sizes());
  // (0.5 A + 0.5 I) P = 0.5 P + 0.5 A P
  product_nn = at::addmm(product_nn, attn_nn, product_nn, 0.5, 0.5);
}

void rollout_rows(const at::Tensor& attn_qk, const at::Tensor& before_km, at::Tensor& after_qm) {
  constexpr const char* op = "rollout_rows";
  check_like(op, "attn_qk", attn_qk, at::kFloat, attn_qk.defined() ? attn_qk.device() : at::Device(at::kCPU));
  check_like(op, "before_km", before_km, at::kFloat, attn_qk.device());
  check_like(op, "after_qm", after_qm, at::kFloat, attn_qk.device());
  GAZE_CHECK(attn_qk.dim() == 2 && attn_qk.size(0) <= attn_qk.size(1), op, "attn_qk",
             "[queries, keys] with no more queries than keys, got ", attn_qk.sizes());
  GAZE_CHECK(before_km.dim() == 2 && before_km.size(0) == attn_qk.size(1), op, "before_km", "[", attn_qk.size(1),
             ", n], got ", before_km.sizes());
  check_sizes(op, "after_qm", after_qm, {attn_qk.size(0), before_km.size(1)});
  const Quiet quiet;
  const at::Tensor own_qm = before_km.narrow(0, attn_qk.size(1) - attn_qk.size(0), attn_qk.size(0));
  after_qm.copy_(at::addmm(own_qm, attn_qk, before_km).div_(attn_qk.sum(1, true).add_(1)));
}

at::Tensor compose(const at::Tensor& map_tn, const at::Tensor& made_of_nk) {
  constexpr const char* op = "compose";
  check_like(op, "map_tn", map_tn, at::kFloat, map_tn.defined() ? map_tn.device() : at::Device(at::kCPU));
  check_like(op, "made_of_nk", made_of_nk, at::kFloat, map_tn.device());
  GAZE_CHECK(map_tn.dim() == 2, op, "map_tn", "[tokens, latents], got ", map_tn.sizes());
  GAZE_CHECK(made_of_nk.dim() == 2 && made_of_nk.size(0) == map_tn.size(1), op, "made_of_nk", "[", map_tn.size(1),
             ", keys], got ", made_of_nk.sizes());
  const Quiet quiet;
  const at::Tensor sum_n = made_of_nk.sum(1);
  const at::Tensor per_sum_n = at::where(sum_n.gt(0), sum_n.reciprocal(), at::zeros_like(sum_n));
  return at::mm(map_tn.mul(per_sum_n), made_of_nk);
}

}  // namespace gaze::ops
