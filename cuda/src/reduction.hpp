// SPDX-License-Identifier: MIT
// What `reduce` and `attend_reduce` check alike on the way from tensors and options to kernel parameters.
#pragma once

#include <gaze/ops/reduce.hpp>

#include "kernels.hpp"

namespace gaze::ops {

kernels::DType weight_dtype(const char* op, const char* argument, const at::Tensor& x);

/// Address of an element; the tensor's dtype decides the step.
const void* element(const at::Tensor& x, int64_t index);

/// That the range's batch row and queries are among so many.
void check_queries(const char* op, const RowRange& range, int64_t batches, int64_t queries);

/// What `range` chooses of `heads` heads.
kernels::HeadPick pick(const char* op, const RowRange& range, int64_t heads);

/// @param heads  those that `range` chose
kernels::Reduction reduction(const char* op, const ReduceOptions& options, int64_t heads);

/// The rows of the accumulator that the range goes to.
kernels::AccumulatorRows rows(const char* op, const Accumulator& accumulator, const RowRange& range, int64_t keys,
                              at::Device device);

}  // namespace gaze::ops
