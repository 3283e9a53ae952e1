// SPDX-License-Identifier: MIT
// Which axis of an op's input an axis of its output is. Axes count from the end (-1 is the last), so that broadcasting
// keeps them.
#pragma once

#include "graph/walk.hpp"

namespace gaze {

struct Axis {
  enum class State { Known, New, Lost };
  State state = State::Lost;
  int64_t at = 0;  ///< when Known
  static Axis known(int64_t at) { return {State::Known, at}; }
  static Axis made() { return {State::New, 0}; }  ///< the input does not have it: broadcast over it
  explicit operator bool() const { return state == State::Known; }
};

/// Where a reshape cuts when the sizes do not say: weights and scores keep their last axes ([b * h, q, k] and [b, h, q,
/// k]); projections split or join their features ([b, n, h * d] and [b, n, h, d]).
enum class Reshape { KeepsLast, SplitsFeatures };

/// A method's graph and the module it belongs to.
class GraphAxes {
 public:
  GraphAxes(torch::jit::Graph& graph, const Owners& owners, const torch::jit::Module& self);

  [[nodiscard]] std::optional<int64_t> rank(torch::jit::Value* value) const;
  /// A constant axis of `value` as it counts from the end; nullopt when it is not constant, or not from the end and the
  /// rank is unknown.
  [[nodiscard]] std::optional<int64_t> from_end(torch::jit::Value* axis, torch::jit::Value* value) const;
  /// Axis `axis` of `out` in `in`, one of the values that sources(out) names.
  [[nodiscard]] Axis before(torch::jit::Value* out, torch::jit::Value* in, int64_t axis, Reshape reshape) const;
  /// A constant integer, through the arms of a branch that agree.
  [[nodiscard]] std::optional<int64_t> constant(torch::jit::Value* value) const;
  /// Of a list that holds one axis of `value`: that one, from the end.
  [[nodiscard]] std::optional<int64_t> only_axis(torch::jit::Value* list, torch::jit::Value* value) const;
  /// Whether a node mixes what it works on by a matrix of parameters, as a linear layer does.
  [[nodiscard]] bool projects(const torch::jit::Node* node) const;

 private:
  [[nodiscard]] Axis before_reshape(torch::jit::Value* out, torch::jit::Value* in, int64_t axis, Reshape reshape) const;
  [[nodiscard]] Axis before_transpose(torch::jit::Value* out, torch::jit::Value* in, int64_t axis) const;
  [[nodiscard]] Axis before_permute(torch::jit::Value* out, int64_t axis) const;
  [[nodiscard]] Axis before_movedim(torch::jit::Value* out, torch::jit::Value* in, int64_t axis) const;
  [[nodiscard]] Axis before_reduction(torch::jit::Value* out, torch::jit::Value* in, int64_t axis) const;
  [[nodiscard]] Axis before_flatten(torch::jit::Value* out, torch::jit::Value* in, int64_t axis) const;
  [[nodiscard]] Axis before_unflatten(torch::jit::Value* out, torch::jit::Value* in, int64_t axis) const;
  [[nodiscard]] bool from_convolution(torch::jit::Value* value) const;
  void infer_backwards(torch::jit::Block* block);
  using Rank = std::optional<int64_t>;
  [[nodiscard]] Rank find_rank(torch::jit::Value* value) const;
  [[nodiscard]] Rank rank_of_sources(torch::jit::Value* value) const;
  /// Where the operator says it, or says that it cannot be known; nullopt where it depends on what it works on.
  [[nodiscard]] std::optional<Rank> rank_by_operator(torch::jit::Node* node) const;
  [[nodiscard]] Rank rank_of_element(torch::jit::Value* value) const;
  [[nodiscard]] std::optional<Rank> rank_by_list_or_table(torch::jit::Node* node) const;
  /// What a node makes of an operand of that rank.
  [[nodiscard]] Rank rank_made_of(torch::jit::Node* node, int64_t rank) const;
  [[nodiscard]] Rank length(torch::jit::Value* list) const;
  [[nodiscard]] std::optional<int64_t> hint(const torch::jit::Value* value) const;
  const Owners& owners_;
  const torch::jit::Module& self_;
  std::unordered_map<const torch::jit::Value*, int64_t> ranks_;  ///< that follow from what a value is used for
  mutable std::unordered_map<const torch::jit::Value*, std::optional<int64_t>> known_;  ///< what rank() said
  mutable int depth_ = 0;
};

}  // namespace gaze
