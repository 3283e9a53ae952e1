// SPDX-License-Identifier: MIT
#include "aoti/likely_weights.hpp"

#include <ATen/TensorOperators.h>

#include <cmath>

namespace gaze {
namespace {

/// What a sum of as many rounded numbers may be off, as a share of it.
double tolerance(at::ScalarType type) { return type == at::kFloat || type == at::kDouble ? 1e-3 : 2e-2; }

}  // namespace

Likelihood judge_operand(const at::Tensor& operand) {
  // Also false of what is no number.
  if (!(operand.min().item<double>() >= 0)) return Likelihood::None;
  const at::Tensor sums = operand.sum(-1, /*keepdim=*/false, at::kDouble);
  const double least = sums.min().item<double>(), most = sums.max().item<double>();
  const double off = tolerance(operand.scalar_type());
  if (!(least > 0) || !std::isfinite(most) || most - least > off * most) return Likelihood::None;
  const bool scaled = std::abs(most - 1) > off || std::abs(least - 1) > off;
  // One row has one sum whatever it is.
  if (scaled && sums.numel() == 1) return Likelihood::None;
  if (operand.amax(-1).eq(operand.sum(-1)).all().item<bool>()) return Likelihood::Unsure;
  return scaled ? Likelihood::Scaled : Likelihood::Weights;
}

at::Tensor with_rows_of_one(const at::Tensor& weights) {
  const at::Tensor numbers = weights.to(at::kFloat), sums = numbers.sum(-1, /*keepdim=*/true);
  return numbers / sums.masked_fill(sums.eq(0), 1);
}

}  // namespace gaze
