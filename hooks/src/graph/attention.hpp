// SPDX-License-Identifier: MIT
// Recognises attention whose weights exist as a tensor: a normalisation over keys of what compares queries with keys,
// and a product with values.
#pragma once

#include <variant>

#include "graph/axes.hpp"

namespace gaze {

/// Axes count from the end.
struct WeightsFound {
  torch::jit::Value* weights = nullptr;  ///< what the values are multiplied with, before dropout and reshaping
  torch::jit::Node* after = nullptr;     ///< the node after which `weights` holds its final numbers
  int64_t key_axis = -1;
  int64_t query_axis = 0;  ///< 0: none, there is one query
  bool partial = false;    ///< a mask, a slice or a factor after the softmax: rows may sum to less than 1
  torch::jit::Value* q = nullptr;
  torch::jit::Value* k = nullptr;
  int64_t q_features = -1;  ///< the axis of q that the scores sum over
  int64_t k_axis = -2;      ///< the axis of k that the keys lie along
};

/// Why a softmax that touches a product is no attention, or none that is understood.
struct WeightsRefused {
  std::string why;
  bool report = false;  ///< a reader of the model should know
};

/// Nothing (monostate) where `node` normalises nothing. Each attention is found at one node only.
using WeightsAt = std::variant<std::monostate, WeightsFound, WeightsRefused>;
WeightsAt weights_at(torch::jit::Node* node, const Owners& owners, const GraphAxes& axes);

/// True when queries and keys are compared channel by channel: their products sum over positions.
bool over_channels(torch::jit::Value* q, int64_t summed_axis, const Owners& owners, const GraphAxes& axes);

}  // namespace gaze
