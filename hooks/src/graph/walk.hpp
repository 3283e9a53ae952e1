// SPDX-License-Identifier: MIT
// Reading TorchScript graphs: nodes in order, where a value comes from, which parameter it is.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gaze {

/// Names of operators, as "aten::softmax".
using Kinds = std::initializer_list<std::string_view>;

inline bool is_any(const torch::jit::Node* node, Kinds kinds) {
  return std::find(kinds.begin(), kinds.end(), std::string_view(node->kind().toQualString())) != kinds.end();
}
inline bool is(const torch::jit::Node* node, std::string_view kind) { return node->kind().toQualString() == kind; }
inline bool is_tensor(const torch::jit::Value* value) {
  return value != nullptr && value->type()->isSubtypeOf(c10::TensorType::get());
}

/// Every node in the order of the graph, blocks and the bodies of forks included.
void each_node(torch::jit::Block* block, const std::function<void(torch::jit::Node*)>& visit);

/// Which fork (or other node with a subgraph) a subgraph belongs to, so that values can be followed out of it.
using Owners = std::unordered_map<const torch::jit::Graph*, torch::jit::Node*>;
Owners owners_of(torch::jit::Graph& graph);

/// Which place of which list or tuple a value is taken from.
struct Taken {
  torch::jit::Value* from = nullptr;
  size_t at = 0;
};
/// nullopt where the value is none of one, or its place is computed.
std::optional<Taken> taken_from(const torch::jit::Value* value);

/// What a list or tuple holds that the graph makes of its elements, appended ones included; nullopt of any other, and
/// of a list that is changed otherwise, or in a branch or loop.
std::optional<std::vector<torch::jit::Value*>> contents_of(torch::jit::Value* whole);

/// The values a value comes from: through If, Loop and fork boundaries, else the inputs of its node.
std::vector<torch::jit::Value*> sources(torch::jit::Value* value, const Owners& owners);

/// Attribute path of a value read from the method's self, e.g. "layers.0.q.weight"; nullopt when it is none.
std::optional<std::string> attribute_path(torch::jit::Value* value, const Owners& owners);

/// A parameter, buffer or constant tensor, at most reshaped or cast.
bool is_parameter(torch::jit::Value* value, const Owners& owners);

/// A tensor that the graph holds itself, as a frozen file holds its parameters; undefined when it is none.
at::Tensor constant_tensor(const torch::jit::Value* value);

/// The path of a parameter: attribute_path, or that of the attribute that freezing in this process made a constant of.
std::optional<std::string> parameter_path(torch::jit::Value* value, const Owners& owners);

/// The tensor of `self` that a value is read from, or the constant that it is; undefined when it is neither.
at::Tensor parameter(torch::jit::Value* value, const Owners& owners, const torch::jit::Module& self);

// An argument that is not there, a null, is known to be nothing.

/// An integer the graph holds, or an attribute of `self` does.
std::optional<int64_t> constant_int(torch::jit::Value* value, const Owners& owners, const torch::jit::Module& self);

/// Elements of a list of integers; nullopt for those that are computed. Empty when the list itself is.
std::vector<std::optional<int64_t>> int_list(torch::jit::Value* value, const Owners& owners,
                                             const torch::jit::Module& self);

/// Whether a node stands in an arm that a constant, or an attribute of `self`, leaves out.
bool left_out(const torch::jit::Node* node, const Owners& owners, const torch::jit::Module& self);

/// A truth value or a text that the graph holds.
std::optional<bool> constant_bool(const torch::jit::Value* value);
std::optional<std::string> constant_text(const torch::jit::Value* value);

}  // namespace gaze
