// SPDX-License-Identifier: MIT
#include "capture/rollout_rows.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gaze/render/status.hpp>

#include <algorithm>

namespace gaze {
namespace {

int64_t bytes_of(int64_t positions, int64_t medium) { return positions * medium * static_cast<int64_t>(sizeof(float)); }

/// The medium's columns of the identity.
at::Tensor identity(int64_t positions, const RolloutRows::Layer& layer) {
  at::Tensor rows_km = at::zeros({positions, layer.medium}, at::TensorOptions().dtype(at::kFloat).device(layer.device));
  rows_km.narrow(0, layer.first_key, layer.medium).diagonal().fill_(1);
  return rows_km;
}

}  // namespace

int64_t RolloutRows::add(const std::string& name, const Layer& layer, int64_t budget_bytes, Add add,
                         ops::Accumulator& to) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const auto [at, fresh] = layer_of_.emplace(layer.site, layer_of_.size() + 1);
  const size_t index = at->second;
  const int64_t first = layer.keys - layer.queries;
  const int64_t expected = fresh ? 0 : layers_[index].keys;
  if (first != expected) {
    throw Error(name + ": expected for a rollout the " + std::to_string(layer.queries) + " queries of " +
                    std::to_string(expected + layer.queries) + " keys, all positions from the first on, got " +
                    std::to_string(layer.keys) +
                    " keys. Open the request before the prompt, with a cache that grows by what is asked; a cache of "
                    "fixed size does not say where a query stands.",
                DropReason::ShapeMismatch);
  }
  int64_t added = 0;
  if (fresh) {
    const int64_t positions = layer.keys + layer.room;
    added = bytes_of(positions, layer.medium) * (layers_.empty() ? 2 : 1);
    if (added > budget_bytes) {
      throw Error(name + ": expected a rollout within options.queue_bytes, of which " + std::to_string(budget_bytes) +
                      " bytes are left, got " + std::to_string(positions) + " positions x " +
                      std::to_string(layer.medium) +
                      " values more. Raise GAZE_QUEUE_BYTES, or lower options.max_tokens.",
                  DropReason::HostBudget);
    }
    if (layers_.empty()) layers_.push_back({identity(positions, layer), positions});
    layers_.push_back(
        {at::empty({positions, layer.medium}, at::TensorOptions().dtype(at::kFloat).device(layer.device)), 0});
  }
  Held& held = layers_[index];
  held.keys = layer.keys;
  // Tokens beyond the room are dropped.
  if (layer.keys > held.r_km.size(0)) return added;
  ops::Accumulator call = ops::make_accumulator(layer.queries, layer.keys, layer.device);
  add(call);
  const at::Tensor before_km = layers_[index - 1].r_km.narrow(0, 0, layer.keys).to(layer.device);
  at::Tensor rows_qm = held.r_km.narrow(0, first, layer.queries);
  ops::rollout_rows(ops::finish(call, layer.queries, {}).map_tc, before_km, rows_qm);
  if (layer.tokens == 0) return added;
  const auto rows = [&](const at::Tensor& all) { return all.narrow(0, layer.first_query, layer.tokens); };
  const auto tokens = [&](const at::Tensor& all) { return all.narrow(0, layer.first_token, layer.tokens); };
  tokens(to.map_tc).copy_(rows(rows_qm), true);
  tokens(to.mass_t).copy_(rows(rows_qm).sum(1), true);
  tokens(to.weight_t).fill_(1);
  tokens(to.visible_t).copy_(rows(call.visible_t), true);
  tokens(to.calls_t).fill_(1);
  tokens(to.rows_t).fill_(1);
  tokens(to.flags_t).copy_(tokens(to.flags_t).bitwise_or(rows(call.flags_t).to(to.flags_t.device())));
  return added;
}

RolloutRows RolloutRows::clone() const {
  const c10::InferenceMode normal(false);
  RolloutRows copy = *this;
  for (Held& held : copy.layers_) held.r_km = held.r_km.clone();
  return copy;
}

void RolloutRows::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const Held& held : layers_) see(held.r_km);
}

int64_t RolloutRows::bytes() const {
  int64_t bytes = 0;
  for (const Held& held : layers_) bytes += bytes_of(held.r_km.size(0), held.r_km.size(1));
  return bytes;
}

}  // namespace gaze
