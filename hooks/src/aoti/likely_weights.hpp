// SPDX-License-Identifier: MIT
// Whether a product's operand looks like attention weights, where nothing says what it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gaze {

struct Likelihood {
  bool weights = false;  ///< all rows are finite, without negative numbers, and of one sum above 0
  bool scaled = false;   ///< that sum is not 1
};

/// A proposal: other matrices have such rows too, a choice of experts say. Cost: a few passes over the numbers.
/// @param operand  of a product of three dimensions, on the processor
/// @return none where it shows too little: fewer than two keys, or no rows
std::optional<Likelihood> judge_operand(const at::Tensor& operand);

/// The same, of rows that sum to 1; what sums to 0 stays.
at::Tensor with_rows_of_one(const at::Tensor& weights);

}  // namespace gaze
