// SPDX-License-Identifier: MIT
// Queries and keys behind a normalisation.
#pragma once

#include <cstdint>
#include <optional>

#include "graph/axes.hpp"
#include "graph/walk.hpp"

namespace gaze {

/// What was found.
struct ScoresBehind {
  torch::jit::Value* q = nullptr;
  torch::jit::Value* k = nullptr;
  int64_t q_features = -1;
  int64_t k_axis = -2;  ///< the axis of k that the keys lie along
  bool keys_are_parameters = false;
  bool found = false;
  bool compared = false;  ///< some product lies behind, understood or not
};

/// @param key_axis  of `value`, counted from the end; none: not known
ScoresBehind scores_behind(torch::jit::Value* value, std::optional<int64_t> key_axis, const Owners& owners,
                           const GraphAxes& axes);

}  // namespace gaze
