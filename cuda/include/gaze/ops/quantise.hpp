// SPDX-License-Identifier: MIT
// Attention rows in one byte a weight: what is kept of every head, to look closer at later.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

/// Rows of weights, each by its own greatest one: weight = most x (root / 255)^2, off by at most
/// most x (root + 1/4) / 255^2. Small weights, of which there are many, keep their first digits.
struct QuantisedRows {
  at::Tensor root_hqk;  ///< uint8 [heads, queries, keys]
  at::Tensor most_hq;   ///< float32 [heads, queries]
};

/// Into rows that are there. Asynchronous on the current stream of the weights' device; allocates nothing. CPU and CUDA
/// give the same bytes.
/// @param weight_hqk  float32, float16 or bfloat16 [heads, queries, keys], any strides; what is negative or not finite
///                    counts as 0
/// @param rows        of those sizes, on that device; keys adjacent
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void quantise_out(const at::Tensor& weight_hqk, const QuantisedRows& rows);

/// As above, into rows of its own.
GAZE_API QuantisedRows quantise(const at::Tensor& weight_hqk);

/// float32 [heads, queries, keys]
GAZE_API at::Tensor dequantise(const QuantisedRows& rows);

}  // namespace gaze::ops
