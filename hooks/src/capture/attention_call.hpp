// SPDX-License-Identifier: MIT
// One attention call of a model, whatever a front end got hold of: its weights, or what they are recomputed from. Knows
// no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/reduce.hpp>

#include <cstdint>
#include <memory>

#include "capture/packed_attention.hpp"

namespace gaze {

/// What the axes of tapped weights are. Axes count from the end.
struct WeightsLayout {
  int64_t query_axis = -2;  ///< 0: none, there is one query
  int64_t key_axis = -1;
  int64_t heads = 0;     ///< of an axis that merges batch and heads; 0: not known
  bool partial = false;  ///< rows may sum to less than 1
};

class AttentionCall {
 public:
  AttentionCall(const AttentionCall&) = delete;
  AttentionCall& operator=(const AttentionCall&) = delete;
  virtual ~AttentionCall() = default;

  [[nodiscard]] int64_t batch() const noexcept { return batch_; }
  [[nodiscard]] int64_t heads() const noexcept { return heads_; }
  [[nodiscard]] int64_t queries() const noexcept { return queries_; }
  [[nodiscard]] int64_t keys() const noexcept { return keys_; }
  [[nodiscard]] at::Device device() const noexcept { return device_; }

  /// Adds the wanted rows to accumulators on the call's device, one for each batch row from rows.batch on. Asynchronous
  /// on the current stream.
  virtual void add(const ops::RowRange& rows, const ops::ReduceOptions& by,
                   c10::ArrayRef<ops::Accumulator*> to_b) const = 0;
  /// All queries of a batch row, over all keys, to an accumulator [queries, keys].
  void add_whole(int64_t row, const ops::ReduceOptions& by, ops::Accumulator& to) const {
    add({.batch = row, .queries = queries_}, by, &to);
  }
  /// [heads, count, keys] of a batch row, from `first_query` on: a view where the weights are there, else float32.
  [[nodiscard]] virtual at::Tensor weights(int64_t row, int64_t first_query, int64_t count) const = 0;
  /// [batch, heads, queries, keys], memory of its own.
  [[nodiscard]] virtual at::Tensor exact() const = 0;
  /// Whether the last query of a batch row sees any key from `key` on: bool [] on the call's device; undefined: it sees
  /// them all.
  [[nodiscard]] virtual at::Tensor sees_beyond(int64_t row, int64_t key) const = 0;
  /// What it is recomputed from; null where the weights are there.
  [[nodiscard]] virtual const ops::Scores* scores() const noexcept { return nullptr; }
  /// The same call for later, without a copy: it refers to the memory of its tensors.
  [[nodiscard]] virtual std::shared_ptr<const AttentionCall> keep() const = 0;
  /// All that it refers to.
  virtual void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const = 0;

 protected:
  AttentionCall(int64_t batch, int64_t heads, int64_t queries, int64_t keys, at::Device device)
      : batch_(batch), heads_(heads), queries_(queries), keys_(keys), device_(device) {}

 private:
  int64_t batch_, heads_, queries_, keys_;
  at::Device device_;
};

/// The weights as they are.
class WeightsCall final : public AttentionCall {
 public:
  /// @param attn_bhqk  as arrange() returns them
  WeightsCall(at::Tensor attn_bhqk, bool partial);
  void add(const ops::RowRange& rows, const ops::ReduceOptions& by,
           c10::ArrayRef<ops::Accumulator*> to_b) const override;
  [[nodiscard]] at::Tensor weights(int64_t row, int64_t first_query, int64_t count) const override;
  [[nodiscard]] at::Tensor exact() const override;
  [[nodiscard]] at::Tensor sees_beyond(int64_t row, int64_t key) const override;
  [[nodiscard]] std::shared_ptr<const AttentionCall> keep() const override;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const override;

 private:
  at::Tensor attn_bhqk_;
  bool partial_;
};

/// Queries and keys; of the weights only the wanted rows are computed.
class ScoresCall final : public AttentionCall {
 public:
  /// @param scores  as flatten() returns them
  explicit ScoresCall(ops::Scores scores);
  void add(const ops::RowRange& rows, const ops::ReduceOptions& by,
           c10::ArrayRef<ops::Accumulator*> to_b) const override;
  [[nodiscard]] at::Tensor weights(int64_t row, int64_t first_query, int64_t count) const override;
  [[nodiscard]] at::Tensor exact() const override;
  [[nodiscard]] at::Tensor sees_beyond(int64_t row, int64_t key) const override;
  [[nodiscard]] const ops::Scores* scores() const noexcept override { return &scores_; }
  [[nodiscard]] std::shared_ptr<const AttentionCall> keep() const override;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const override;

 private:
  ops::Scores scores_;
};

/// Inputs of an operator that holds a whole attention. Its queries and keys are projected again by every question.
class PackedCall final : public AttentionCall {
 public:
  /// @param packed  of plain inputs [batch, length, size]
  explicit PackedCall(PackedAttention packed);
  void add(const ops::RowRange& rows, const ops::ReduceOptions& by,
           c10::ArrayRef<ops::Accumulator*> to_b) const override;
  [[nodiscard]] at::Tensor weights(int64_t row, int64_t first_query, int64_t count) const override;
  [[nodiscard]] at::Tensor exact() const override;
  [[nodiscard]] at::Tensor sees_beyond(int64_t row, int64_t key) const override;
  [[nodiscard]] std::shared_ptr<const AttentionCall> keep() const override;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const override;

 private:
  [[nodiscard]] ScoresCall projected() const;
  PackedAttention packed_;
};

/// Tapped weights of 1 to any number of dimensions as [batch, heads, queries, keys].
/// @param rows  of the request: what an axis of batch and heads is divided by when the layout does not say; 0: not
/// known
/// @throws gaze::Error (ShapeMismatch) where the axes of the layout are missing; `site` begins the text
at::Tensor arrange(const at::Tensor& weights, const WeightsLayout& layout, int64_t rows, const std::string& site);

/// Four dimensions of queries and keys: all that stands before the heads is batch.
ops::Scores flatten(ops::Scores scores);

}  // namespace gaze
