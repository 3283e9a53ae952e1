// SPDX-License-Identifier: MIT
#include "aoti/likely_weights.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/sum.h>

#include <cmath>

namespace gaze {
namespace {

/// What a sum of as many rounded numbers may be off, as a share of it.
double tolerance(at::ScalarType type) { return type == at::kFloat || type == at::kDouble ? 1e-3 : 2e-2; }

}  // namespace

std::optional<Likelihood> judge_operand(const at::Tensor& operand) {
  if (operand.dim() != 3 || !operand.is_cpu() || !operand.is_floating_point()) return Likelihood{};
  if (operand.size(2) < 2 || operand.numel() == 0) return std::nullopt;
  // Also false of what is no number.
  if (!(operand.min().item<double>() >= 0)) return Likelihood{};
  const at::Tensor sums = operand.sum(-1, /*keepdim=*/false, at::kDouble);
  const double least = sums.min().item<double>(), most = sums.max().item<double>(),
               off = tolerance(operand.scalar_type());
  if (!(least > 0) || !std::isfinite(most) || most - least > off * most) return Likelihood{};
  const bool scaled = std::abs(most - 1) > off || std::abs(least - 1) > off;
  // One row has one sum whatever it is.
  return Likelihood{.weights = !scaled || sums.numel() > 1, .scaled = scaled};
}

at::Tensor with_rows_of_one(const at::Tensor& weights) {
  const at::Tensor numbers = weights.to(at::kFloat), sums = numbers.sum(-1, /*keepdim=*/true);
  return numbers / sums.masked_fill(sums.eq(0), 1);
}

}  // namespace gaze
