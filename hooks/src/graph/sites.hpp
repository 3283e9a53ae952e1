// SPDX-License-Identifier: MIT
// Finds attention calls in TorchScript graphs and names them after the module tree.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>
#include <gaze/hooks/sites.hpp>

#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

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

/// The module tree: which instances a type has.
class ModuleTree {
 public:
  explicit ModuleTree(const torch::jit::Module& root);
  [[nodiscard]] const torch::jit::Module& root() const { return root_; }
  /// Distinct types of the tree, root first.
  [[nodiscard]] const std::vector<c10::ClassTypePtr>& types() const { return types_; }
  /// Instance path of a type: "" for the root, "a.b" for a single instance, "layers.*" where several share the type.
  [[nodiscard]] std::string prefix(const c10::ClassTypePtr& type) const;
  /// A module of that type.
  [[nodiscard]] const torch::jit::Module& instance(const c10::ClassTypePtr& type) const;

 private:
  void walk(const torch::jit::Module& module, const std::string& path);
  torch::jit::Module root_;
  std::vector<c10::ClassTypePtr> types_;
  std::unordered_map<const c10::ClassType*, std::vector<std::pair<std::string, torch::jit::Module>>> instances_;
};

/// Inlines what torch's inliner leaves alone: the bodies of prim::fork.
void inline_forks(torch::jit::Graph& graph);

/// Attention nodes in the order of the graph, blocks and forks included; `unknown` gets what only looks like attention.
std::vector<FoundSite> find_in_graph(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown);

}  // namespace gaze
