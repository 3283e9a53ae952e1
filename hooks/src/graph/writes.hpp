// SPDX-License-Identifier: MIT
// What a graph does to memory: which it writes to after a place in it, which outlives it.
#pragma once

#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace gaze {

class Writes {
 public:
  /// Before the graph is edited. Cost: torch's analysis of aliases.
  explicit Writes(std::shared_ptr<torch::jit::Graph> graph);

  /// Whether something that runs after `node`, in a later turn of a loop too, may write to a value's memory. True where
  /// it cannot be told.
  [[nodiscard]] bool after(torch::jit::Node* node, const std::vector<torch::jit::Value*>& values) const;
  /// Whether the value's memory is part of what the graph is given or returns. False where it cannot be told.
  [[nodiscard]] bool outlives(torch::jit::Value* value) const;

 private:
  void number(torch::jit::Block* block);

  std::shared_ptr<torch::jit::Graph> graph_;
  std::optional<torch::jit::AliasDb> aliases_;  // unset: torch could not tell
  std::unordered_map<const torch::jit::Node*, size_t> order_;
  std::vector<torch::jit::Node*> writers_;  // that may be
};

}  // namespace gaze
