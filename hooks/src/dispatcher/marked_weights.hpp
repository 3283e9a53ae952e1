// SPDX-License-Identifier: MIT
// Which memory holds attention weights: what a softmax returned, and what they were copied or scaled to. Known weakly:
// neither its life nor its use changes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

namespace gaze {

/// Of this thread. The last few alone: a product takes the weights soon after.
class MarkedWeights {
 public:
  using Sizes = c10::SmallVector<int64_t, 5>;

  /// Its last axis is that of keys.
  static void mark(const at::Tensor& weights, c10::IntArrayRef sizes) noexcept;
  /// The sizes that the weights had; null: this memory holds none.
  static const Sizes* find(const at::Tensor& tensor) noexcept;
  /// `to` holds what `from` held, in other numbers.
  static void carry(const at::Tensor& from, const at::Tensor& to) noexcept;
};

}  // namespace gaze
