// SPDX-License-Identifier: MIT
#include "capture/packed_attention.hpp"

#include <ATen/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>

namespace gaze {
namespace {

struct Padded {
  at::Tensor x_bld;
  at::Tensor lengths_b;  // undefined: all are as long
};

Padded padded(const at::Tensor& input) {
  if (!input.is_nested()) return {input, {}};
  return {input.to_padded_tensor(0.0), input._nested_tensor_size().select(1, 0).to(input.device())};
}

}  // namespace

ProjectedScores scores_of(const PackedAttention& packed) {
  const int64_t size = packed.weight.size(1);
  const auto project = [&](at::Tensor x_bld, int64_t part) {
    if (packed.norm_first && packed.norm_weight) {
      x_bld = at::layer_norm(x_bld, {size}, packed.norm_weight, packed.norm_bias, packed.eps);
    }
    const auto bias = packed.bias && packed.bias->defined()
                          ? std::optional<at::Tensor>(packed.bias->narrow(0, part * size, size))
                          : std::nullopt;
    const at::Tensor y_bld = at::linear(x_bld, packed.weight.narrow(0, part * size, size), bias);
    return y_bld.unflatten(2, {packed.heads, size / packed.heads}).transpose(1, 2);
  };
  const Padded q = padded(packed.q_input);
  const Padded k = padded(packed.k_input);
  std::optional<at::Tensor> visible;
  if (packed.mask && packed.mask->defined()) {
    at::Tensor mask = *packed.mask;
    if (packed.mask_type.value_or(2) == 1) mask = mask.unsqueeze(1).unsqueeze(1);
    visible = mask.scalar_type() == at::kBool ? mask.logical_not() : mask;
  } else if (k.lengths_b.defined()) {
    const at::Tensor at_k = at::arange(k.x_bld.size(1), k.lengths_b.options());
    visible = at_k.lt(k.lengths_b.unsqueeze(1)).unsqueeze(1).unsqueeze(1);
  }
  return {project(q.x_bld, 0), project(k.x_bld, 1), visible};
}

}  // namespace gaze
