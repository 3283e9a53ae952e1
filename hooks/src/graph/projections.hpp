// SPDX-License-Identifier: MIT
// What projects a value to queries or keys, and whether two values are projected from the same one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/walk.hpp"

namespace gaze {

struct Projection {
  std::string owner;       ///< module path of the nearest linear-like ancestor; empty where its matrix has no name left
  bool leaf = false;       ///< it is a layer by itself, else a module with parameters such as in_proj_weight
  bool nameless = false;   ///< frozen: its matrix is a constant of a file, which keeps no path
  at::Tensor matrix = {};  ///< of a frozen file; undefined where it is an attribute
  torch::jit::Value* input = nullptr;  ///< what it projects
};

/// The projection that is nearest on one way through the branches: which arm of each it takes.
struct ProjectionWay {
  std::map<torch::jit::Node*, size_t> arms;
  Projection projection;
};

/// The nearest ancestors that multiply by a parameter, nearest first: one, or one for each way through the branches
/// between. Arms that cannot run are left out.
std::vector<ProjectionWay> projections_of(torch::jit::Value* value, const Owners& owners);

/// Two values that the same ops make from the same values: a traced module adds positions once for q, once for k.
bool same_value(torch::jit::Value* a, torch::jit::Value* b, int depth = 0);

/// Whether what projects queries and keys reads the same value, on every way that both can take together; nullopt where
/// no such way says what it projects.
std::optional<bool> project_the_same(const std::vector<ProjectionWay>& queries, const std::vector<ProjectionWay>& keys);

}  // namespace gaze
