// SPDX-License-Identifier: MIT
// Attention rows recomputed from queries and keys where the model uses a fused attention.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/reduce.hpp>

#include <optional>

namespace gaze::ops {

/// A float mask that lowers a score as far counts as masking the key.
constexpr float kAsGoodAsMasked = -1e4F;

/// The arguments of scaled_dot_product_attention that decide its weights.
struct Scores {
  at::Tensor q_bhqd;  ///< float32/float16/bfloat16 [batch, heads, queries, size], any strides
  at::Tensor k_bhkd;  ///< same dtype, [batch, kv_heads, keys, size]; kv_heads divides heads (GQA, MQA)
  /// bool (true = visible) or floating (added to the scores), broadcastable to [batch, heads, queries, keys]
  std::optional<at::Tensor> mask;
  bool causal = false;               ///< query i sees keys 0..i (top-left aligned, as scaled_dot_product_attention)
  std::optional<double> scale = {};  ///< default 1/sqrt(size)
  int64_t causal_offset = 0;  ///< causal query i sees keys 0..causal_offset + i: for queries that were kept over steps
};

/// Rows of softmax(q k^T * scale + mask), accumulated in float32; a fully masked row is all zero.
///
/// Only the wanted rows are computed: memory is heads x queries x keys of the range.
/// @return float32 [heads, range.queries, keys] on q's device; range.first_key, first_token and heads are ignored.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API at::Tensor attend(const Scores& scores, const RowRange& range);

/// As `reduce(attend(...))` without holding more than one row of all heads.
/// Same guarantees as `reduce`. A key counts as visible when the mask of some head and causality let it through; one
/// that a float mask lowers to kAsGoodAsMasked or further counts as masked, unless the row has no other (models mask
/// with the lowest finite number too).
GAZE_API void attend_reduce(const Scores& scores, const RowRange& range, const ReduceOptions& options,
                            Accumulator& accumulator);

/// One of several calls that are reduced together.
struct AttendCall {
  Scores scores;
  RowRange range;
  /// Instead of the range's rows of scores.q_bhqd, queries that lie apart: [batch, heads, 1, size] for each of them, of
  /// the dtype, sizes and strides of scores.q_bhqd, which gives these alone; range.first_query is 0.
  c10::ArrayRef<at::Tensor> queries_t = {};
};

/// As `attend_reduce` of each in turn, for the batch rows from range.batch on, one for each accumulator. On CUDA, calls
/// with equal ranges (the layers of the same tokens, say) share three launches with all rows, up to 96 calls (52 where
/// queries lie apart), 128 rows and 32 MiB of scratch memory at a time; the results are the same but for rounding.
/// @param accumulators  pointers to accumulators of equal sizes, on the calls' device; none twice
GAZE_API void attend_reduce(c10::ArrayRef<AttendCall> calls, const ReduceOptions& options,
                            c10::ArrayRef<Accumulator*> accumulators);

}  // namespace gaze::ops
