// SPDX-License-Identifier: MIT
// Torch's operators that are an attention by themselves.
#pragma once

#include <optional>

#include "graph/sites.hpp"

namespace gaze {

/// Of an operator that projects to queries and keys itself.
struct Packed {
  torch::jit::Value* weight = nullptr;
  torch::jit::Value* heads = nullptr;
};

/// Of weights that exist as a tensor. Axes count from the end.
struct Weights {
  int64_t query_axis = 0;
  int64_t key_axis = -1;
  bool partial = false;  ///< rows may sum to less than 1
};

/// What a node is to capture: the tap it takes, its queries and its keys.
struct Recognised {
  FoundSite site;
  torch::jit::Value* q = nullptr;
  torch::jit::Value* k = nullptr;
  int64_t q_features = -1;
  std::optional<Packed> packed;
  std::optional<Weights> weights;
};

/// By its operator alone.
std::optional<Recognised> recognise_fused(torch::jit::Node* node);

/// Attention by name that no tap knows.
bool unknown_by_name(const torch::jit::Node* node);

}  // namespace gaze
