// SPDX-License-Identifier: MIT
// Whether a product's operand looks like attention weights, where nothing says what it is.
#pragma once

#include <ATen/core/Tensor.h>

namespace gaze {

enum class Likelihood {
  None,     ///< no weights
  Unsure,   ///< a key each row chooses alone: so do weights that are masked but for one, and choices of experts
  Weights,  ///< all rows are finite, without negative numbers, and sum to 1
  Scaled,   ///< to another number, the same in all of them
};

/// A proposal: other matrices have such rows too. Cost: a few passes over the numbers.
/// @param operand  of a product of three dimensions, on the processor, with at least two keys and one row
Likelihood judge_operand(const at::Tensor& operand);

/// The same, of rows that sum to 1; what sums to 0 stays.
at::Tensor with_rows_of_one(const at::Tensor& weights);

}  // namespace gaze
