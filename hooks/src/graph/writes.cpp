// SPDX-License-Identifier: MIT
#include "graph/writes.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

bool is_opaque(Node* node) {
  const auto kind = node->kind();
  return kind == torch::jit::prim::CallFunction || kind == torch::jit::prim::CallMethod ||
         kind == torch::jit::prim::PythonOp || kind == torch::jit::prim::fork || kind == torch::jit::aten::wait;
}

bool may_write(Node* node) {
  if (is_opaque(node)) return true;
  const c10::FunctionSchema* schema = node->maybeSchema();
  return schema != nullptr && schema->is_mutable();
}

/// The outermost loop around both.
Node* common_loop(Node* a, Node* b) {
  std::vector<Node*> around;
  for (Node* node = a; node != nullptr; node = node->owningBlock()->owningNode()) around.push_back(node);
  Node* found = nullptr;
  for (Node* node = b; node != nullptr; node = node->owningBlock()->owningNode()) {
    const bool shared = std::find(around.begin(), around.end(), node) != around.end();
    if (shared && node->kind() == torch::jit::prim::Loop) found = node;
  }
  return found;
}

}  // namespace

Writes::Writes(std::shared_ptr<torch::jit::Graph> graph) : graph_(std::move(graph)) {
  number(graph_->block());
  try {
    aliases_.emplace(graph_);
  } catch (const std::exception&) {  // operators that torch knows no effects of
  }
}

void Writes::number(Block* block) {
  for (Node* node : block->nodes()) {
    order_.emplace(node, order_.size());
    if (may_write(node)) writers_.push_back(node);
    for (Block* inner : node->blocks()) number(inner);
  }
}

bool Writes::after(Node* node, const std::vector<Value*>& values) const {
  const auto here = order_.find(node);
  if (!aliases_ || here == order_.end()) return true;  // in a fork's own graph, say
  torch::jit::ValueSet watched(values.begin(), values.end());
  return std::any_of(writers_.begin(), writers_.end(), [&](Node* writer) {
    if (order_.at(writer) < here->second && common_loop(node, writer) == nullptr) return false;
    return is_opaque(writer) || aliases_->writesToAlias(writer, watched);
  });
}

bool Writes::outlives(Value* value) const {
  if (!aliases_ || value->node()->owningGraph() != graph_.get()) return false;
  const auto holds = [&](at::ArrayRef<Value*> values) { return aliases_->mayContainAlias(value, values); };
  return holds(graph_->inputs()) || holds(graph_->outputs());
}

}  // namespace gaze
