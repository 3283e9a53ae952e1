// SPDX-License-Identifier: MIT
// Queries and keys of torch's operators that hold a whole multi-head attention, projections included.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace gaze {

/// As `aten::_native_multi_head_attention` and `aten::_transformer_encoder_layer_fwd` get them.
struct PackedAttention {
  at::Tensor q_input, k_input;     ///< [batch, length, size], or nested
  at::Tensor weight;               ///< [3 * size, size]: of queries, keys, values
  std::optional<at::Tensor> bias;  ///< [3 * size]
  int64_t heads = 0;
  std::optional<at::Tensor> mask;  ///< bool: true hides; floating: added to the scores
  std::optional<int64_t>
      mask_type;            ///< 0: [queries, keys], 1: [batch, keys], 2: broadcast to [batch, heads, queries, keys]
  bool norm_first = false;  ///< the input passes a layer norm first
  std::optional<at::Tensor> norm_weight, norm_bias;
  double eps = 1e-5;
};

/// What the operator scores.
struct ProjectedScores {
  at::Tensor q_bhqd, k_bhkd;
  std::optional<at::Tensor> mask;  ///< bool: true is visible; floating: added
};

/// Computed again, at the cost of two projections.
ProjectedScores scores_of(const PackedAttention& packed);

}  // namespace gaze
