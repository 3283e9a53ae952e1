// SPDX-License-Identifier: MIT
#include "graph/loops.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <deque>
#include <unordered_set>

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Use;
using torch::jit::Value;

bool is_mask(const Value* index) {
  return is_any(index->node(), {"aten::eq", "aten::ne", "aten::gt", "aten::lt", "aten::ge", "aten::le",
                                "aten::logical_not", "aten::logical_and", "aten::logical_or", "aten::bitwise_not"});
}

/// Whether the node takes rows of its first input along the first axis, as a tensor says.
bool takes_rows(Node* node) {
  if (is_any(node, {"aten::index_select", "aten::gather"})) {
    Value* const dim = argument(node, Arg::Dim);
    const auto axis = dim != nullptr ? torch::jit::toIValue(dim) : std::nullopt;
    return axis && axis->isInt() && axis->toInt() == 0;
  }
  Value* const list = is(node, "aten::index") ? argument(node, Arg::Indices) : nullptr;
  if (list == nullptr || !is(list->node(), "prim::ListConstruct")) return false;
  bool first = true;
  for (const Value* index : list->node()->inputs()) {
    const bool none = index->mustBeNone();
    if (first ? none || is_mask(index) : !none) return false;
    first = false;
  }
  return !first;
}

bool comes_from_turn_before(Value* value, Node* loop, const Owners& owners) {
  Node* const turn = loop->blocks()[0]->param_node();
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  while (!queue.empty()) {
    Value* const current = queue.front();
    queue.pop_front();
    if (current->node() == turn) {
      if (current->offset() > 0) return true;
      continue;
    }
    if (current->node()->kind() != torch::jit::prim::Param && !has(current->node(), KeepsRows)) continue;
    for (Value* next : sources(current, owners)) {
      if (seen.insert(next).second) queue.push_back(next);
    }
  }
  return false;
}

bool goes_to_next_turn(Value* value, Node* loop) {
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  const auto follow = [&](Value* next) {
    if (seen.insert(next).second) queue.push_back(next);
  };
  while (!queue.empty()) {
    Value* const current = queue.front();
    queue.pop_front();
    for (const Use& use : current->uses()) {
      Node* const user = use.user;
      if (user->kind() == torch::jit::prim::Return) {
        if (user->owningBlock() == loop->blocks()[0]) return true;
        Node* const owner = user->owningBlock()->owningNode();
        if (owner == nullptr) continue;
        const bool turns = owner->kind() == torch::jit::prim::Loop;  // its first output is the condition
        if (!turns || use.offset > 0) follow(owner->output(use.offset - (turns ? 1 : 0)));
      } else if (is_any(user, {"aten::append", "aten::_set_item"})) {
        follow(argument(user, Arg::Operand));  // the list that takes it
      } else if (has(user, KeepsRows) && user->blocks().empty()) {
        for (Value* next : user->outputs()) follow(next);
      }
    }
  }
  return false;
}

}  // namespace

bool rows_are_gathered(Node* node, const Owners& owners) {
  for (torch::jit::Block* block = node->owningBlock(); block != nullptr;) {
    Node* owner = block->owningNode();
    if (owner == nullptr) {
      const auto fork = owners.find(block->owningGraph());
      if (fork == owners.end()) return false;
      owner = fork->second;
    }
    bool gathered = false;
    if (owner->kind() == torch::jit::prim::Loop) {
      each_node(owner->blocks()[0], [&](Node* inner) {
        gathered =
            gathered || (takes_rows(inner) && (comes_from_turn_before(argument(inner, Arg::Operand), owner, owners) ||
                                               goes_to_next_turn(inner->output(), owner)));
      });
    }
    if (gathered) return true;
    block = owner->owningBlock();
  }
  return false;
}

}  // namespace gaze
