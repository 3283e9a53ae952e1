// SPDX-License-Identifier: MIT
// Finds attention calls in TorchScript graphs and names them after the module tree.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>
#include <gaze/hooks/sites.hpp>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "graph/module_tree.hpp"

namespace gaze {

/// A method of some module in the tree, with the inlined graph to be read or edited.
struct MethodGraph {
  c10::ClassTypePtr type;
  std::string method;
  std::shared_ptr<torch::jit::Graph> graph;
  bool root = false;  ///< a method of the root module, the ones a host calls
};

/// A value of the graph or a constant.
using TapInput = std::variant<torch::jit::Value*, c10::IValue>;

/// One attention of one graph, and the tap it takes.
struct FoundSite {
  Site site;                            ///< `methods` empty
  torch::jit::Node* node = nullptr;     ///< the softmax or the fused op
  torch::jit::Value* passes = nullptr;  ///< what the tap hands through
  torch::jit::Node* after = nullptr;    ///< where the tap stands
  const char* tap = "";                 ///< the tap's op
  std::vector<TapInput> inputs;         ///< of the tap's op, between what it hands through and the site's id
  torch::jit::Value* keys = nullptr;    ///< K, or what a packed operator projects to it
  int64_t key_axis = -2;                ///< the axis of `keys` that the keys lie along, from the end
};

/// Inlines what torch's inliner leaves alone: the bodies of prim::fork.
void inline_forks(torch::jit::Graph& graph);

/// Attention nodes in the order of the graph, blocks and forks included; `unknown` gets what only looks like attention.
std::vector<FoundSite> find_in_graph(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown);

}  // namespace gaze
