// SPDX-License-Identifier: MIT
#include "capture/attention_call.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <c10/util/StringUtil.h>
#include <gaze/render/status.hpp>

#include <string>
#include <utility>
#include <vector>

#include "capture/plain_tensor.hpp"

namespace gaze {

WeightsCall::WeightsCall(at::Tensor attn_bhqk, bool partial)
    : AttentionCall(attn_bhqk.size(0), attn_bhqk.size(1), attn_bhqk.size(2), attn_bhqk.size(3), attn_bhqk.device()),
      attn_bhqk_(std::move(attn_bhqk)),
      partial_(partial) {}

void WeightsCall::add(const ops::RowRange& rows, const ops::ReduceOptions& by,
                      c10::ArrayRef<ops::Accumulator*> to_b) const {
  ops::RowRange wanted = rows;
  wanted.partial = partial_;
  for (ops::Accumulator* to : to_b) {
    ops::reduce(attn_bhqk_, wanted, by, *to);
    ++wanted.batch;
  }
}

at::Tensor WeightsCall::weights(int64_t row, int64_t first_query, int64_t count) const {
  return attn_bhqk_[row].narrow(1, first_query, count);
}

at::Tensor WeightsCall::exact() const { return attn_bhqk_.detach().clone(); }

at::Tensor WeightsCall::sees_beyond(int64_t row, int64_t key) const {
  return attn_bhqk_[row].select(1, -1).slice(1, key).ne(0).any();
}

ScoresCall::ScoresCall(ops::Scores scores)
    : AttentionCall(scores.q_bhqd.size(0), scores.q_bhqd.size(1), scores.q_bhqd.size(2), scores.k_bhkd.size(2),
                    scores.q_bhqd.device()),
      scores_(std::move(scores)) {}

void ScoresCall::add(const ops::RowRange& rows, const ops::ReduceOptions& by,
                     c10::ArrayRef<ops::Accumulator*> to_b) const {
  ops::attend_reduce(ops::AttendCall{scores_, rows}, by, to_b);
}

at::Tensor ScoresCall::weights(int64_t row, int64_t first_query, int64_t count) const {
  return ops::attend(scores_, {row, first_query, count});
}

at::Tensor ScoresCall::exact() const {
  std::vector<at::Tensor> rows;
  for (int64_t b = 0; b < batch(); ++b) rows.push_back(weights(b, 0, queries()));
  return at::stack(rows);
}

at::Tensor ScoresCall::sees_beyond(int64_t row, int64_t key) const {
  if (!scores_.mask || !scores_.mask->defined()) return {};
  const at::Tensor mask_hk = scores_.mask->expand({batch(), heads(), queries(), keys()})[row].select(1, -1);
  const at::Tensor rest = mask_hk.slice(1, key);
  return rest.scalar_type() == at::kBool ? rest.any() : rest.gt(ops::kAsGoodAsMasked).any();
}

std::shared_ptr<const AttentionCall> WeightsCall::keep() const {
  return std::make_shared<WeightsCall>(alias_of(attn_bhqk_), partial_);
}

void WeightsCall::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const { see(attn_bhqk_); }

std::shared_ptr<const AttentionCall> ScoresCall::keep() const {
  ops::Scores kept = scores_;
  kept.q_bhqd = alias_of(scores_.q_bhqd);
  kept.k_bhkd = alias_of(scores_.k_bhkd);
  if (kept.mask && kept.mask->defined()) kept.mask = alias_of(*scores_.mask);
  return std::make_shared<ScoresCall>(std::move(kept));
}

void ScoresCall::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  see(scores_.q_bhqd);
  see(scores_.k_bhkd);
  if (scores_.mask) see(*scores_.mask);
}

PackedCall::PackedCall(PackedAttention packed)
    : AttentionCall(packed.q_input.size(0), packed.heads, packed.q_input.size(1), packed.k_input.size(1),
                    packed.q_input.device()),
      packed_(std::move(packed)) {}

ScoresCall PackedCall::projected() const {
  const ProjectedScores scores = scores_of(packed_);
  return ScoresCall(flatten({scores.q_bhqd, scores.k_bhkd, scores.mask}));
}

void PackedCall::add(const ops::RowRange& rows, const ops::ReduceOptions& by,
                     c10::ArrayRef<ops::Accumulator*> to_b) const {
  projected().add(rows, by, to_b);
}

at::Tensor PackedCall::weights(int64_t row, int64_t first_query, int64_t count) const {
  return projected().weights(row, first_query, count);
}

at::Tensor PackedCall::exact() const { return projected().exact(); }

at::Tensor PackedCall::sees_beyond(int64_t row, int64_t key) const { return projected().sees_beyond(row, key); }

std::shared_ptr<const AttentionCall> PackedCall::keep() const {
  PackedAttention kept = packed_;
  kept.q_input = alias_of(packed_.q_input);
  kept.k_input = alias_of(packed_.k_input);
  return std::make_shared<PackedCall>(std::move(kept));
}

void PackedCall::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  see(packed_.q_input);
  see(packed_.k_input);
}

at::Tensor arrange(const at::Tensor& weights, const WeightsLayout& layout, int64_t rows, const std::string& site) {
  if (weights.dim() < (layout.query_axis == 0 ? 1 : 2)) {
    throw Error(site + ": expected weights with an axis of queries and one of keys, got " +
                    std::to_string(weights.dim()) + " dimensions of size " + c10::str(weights.sizes()) +
                    ". Leave the site out of the profile.",
                DropReason::ShapeMismatch);
  }
  at::Tensor attn = weights;
  if (layout.query_axis == 0) {
    attn = attn.movedim(layout.key_axis, -1).unsqueeze(-2);
  } else if (layout.key_axis != -1 || layout.query_axis != -2) {
    attn = attn.movedim({layout.query_axis, layout.key_axis}, {-2, -1});
  }
  if (attn.dim() == 2) return attn.unsqueeze(0).unsqueeze(0);
  if (attn.dim() == 3) {  // batch and heads merged, or no heads
    const int64_t outer = attn.size(0);
    if (layout.heads > 0 && outer % layout.heads == 0) return attn.unflatten(0, {-1, layout.heads});
    if (rows > 0 && outer % rows == 0) return attn.unflatten(0, {rows, -1});
    return attn.unsqueeze(0);
  }
  return attn.dim() > 4 ? attn.flatten(1, -3) : attn;
}

ops::Scores flatten(ops::Scores scores) {
  at::Tensor& q_bhqd = scores.q_bhqd;
  at::Tensor& k_bhkd = scores.k_bhkd;
  std::optional<at::Tensor>& mask = scores.mask;
  while (q_bhqd.dim() < 4) q_bhqd = q_bhqd.unsqueeze(0);
  while (k_bhkd.dim() < 4) k_bhkd = k_bhkd.unsqueeze(0);
  if (q_bhqd.dim() == 4) return scores;
  if (mask && mask->defined() && mask->dim() > 4) {
    std::vector<int64_t> outer(q_bhqd.sizes().begin(), q_bhqd.sizes().end() - 2);
    outer.push_back(mask->size(-2));
    outer.push_back(mask->size(-1));
    mask = mask->expand(outer).flatten(0, -4);
  }
  q_bhqd = q_bhqd.flatten(0, -4);
  k_bhkd = k_bhkd.flatten(0, -4);
  return scores;
}

}  // namespace gaze
