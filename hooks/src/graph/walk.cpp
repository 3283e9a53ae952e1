// SPDX-License-Identifier: MIT
#include "graph/walk.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <algorithm>

namespace gaze {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

void each_node(Block* block, const std::function<void(Node*)>& visit) {
  for (Node* node : block->nodes()) {
    visit(node);
    for (Block* inner : node->blocks()) each_node(inner, visit);
    if (node->hasAttribute(torch::jit::attr::Subgraph)) each_node(node->g(torch::jit::attr::Subgraph)->block(), visit);
  }
}

Owners owners_of(torch::jit::Graph& graph) {
  Owners owners;
  each_node(graph.block(), [&](Node* node) {
    if (node->hasAttribute(torch::jit::attr::Subgraph)) owners[node->g(torch::jit::attr::Subgraph).get()] = node;
  });
  return owners;
}

std::optional<Taken> taken_from(const Value* value) {
  Node* const node = const_cast<Value*>(value)->node();
  if (node->kind() == torch::jit::prim::TupleUnpack || node->kind() == torch::jit::prim::ListUnpack) {
    return Taken{element(node, 0), value->offset()};
  }
  const bool tuple = node->kind() == torch::jit::prim::TupleIndex;
  if (!tuple && !is(node, "aten::__getitem__")) return std::nullopt;
  Value* const index = tuple ? element(node, 1) : argument(node, Arg::At);
  const auto known = index == nullptr ? std::nullopt : torch::jit::toIValue(index);
  if (!known || !known->isInt() || known->toInt() < 0) return std::nullopt;
  return Taken{tuple ? element(node, 0) : argument(node, Arg::Operand), static_cast<size_t>(known->toInt())};
}

std::optional<std::vector<Value*>> contents_of(Value* whole) {
  Node* const made = whole->node();
  if (!is_any(made, {"prim::TupleConstruct", "prim::ListConstruct"})) return std::nullopt;
  std::vector<Value*> contents(made->inputs().begin(), made->inputs().end());
  std::vector<Node*> appended;
  for (const torch::jit::Use& use : whole->uses()) {
    if (is(use.user, "aten::append") && used_as(use, Arg::Operand)) {
      if (use.user->owningBlock() != made->owningBlock()) return std::nullopt;
      appended.push_back(use.user);
    } else if (is_any(use.user, {"aten::_set_item", "aten::insert", "aten::extend", "aten::pop", "aten::clear",
                                 "aten::add_", "aten::remove", "aten::reverse", "aten::sort", "aten::Delete"})) {
      return std::nullopt;
    }
  }
  std::sort(appended.begin(), appended.end(), [](const Node* a, const Node* b) { return a->isBefore(b); });
  for (const Node* append : appended) contents.push_back(argument(append, Arg::Element));
  return contents;
}

namespace {

/// The elements at a place of what a value may be, through branches; none where one of them is not known.
std::vector<Value*> elements_at(Value* whole, size_t at) {
  if (const auto contents = contents_of(whole)) {
    return at < contents->size() ? std::vector<Value*>{(*contents)[at]} : std::vector<Value*>();
  }
  Node* const branch = whole->node();
  std::vector<Value*> elements;
  if (branch->kind() != torch::jit::prim::If) return elements;
  for (Block* arm : branch->blocks()) {
    Value* const made = arm->outputs()[whole->offset()];
    if (is(made->node(), "prim::Uninitialized")) continue;  // an arm that raises
    const std::vector<Value*> own = elements_at(made, at);
    if (own.empty()) return {};
    elements.insert(elements.end(), own.begin(), own.end());
  }
  return elements;
}

}  // namespace

std::vector<Value*> sources(Value* value, const Owners& owners) {
  Node* node = value->node();
  std::vector<Value*> result;
  if (node->kind() == torch::jit::prim::Param) {
    Node* owner = node->owningBlock()->owningNode();
    if (owner == nullptr) {  // a graph's input: of a fork's body or of the method
      const auto found = owners.find(node->owningGraph());
      if (found != owners.end() && value->offset() < found->second->inputs().size()) {
        result.push_back(element(found->second, value->offset()));
      }
    } else if (owner->kind() == torch::jit::prim::Loop && value->offset() >= 1) {
      result.push_back(element(owner, value->offset() + 1));  // inputs: max trip, condition, carried values
      Value* const next = owner->blocks()[0]->outputs()[value->offset()];
      if (next != value) result.push_back(next);  // of the turn before
    }
    return result;
  }
  if (node->kind() == torch::jit::prim::If || node->kind() == torch::jit::prim::Loop) {
    for (Block* block : node->blocks()) {
      const size_t at = value->offset() + (node->kind() == torch::jit::prim::Loop ? 1 : 0);
      if (at < block->outputs().size()) result.push_back(block->outputs()[at]);
    }
    if (node->kind() == torch::jit::prim::Loop) result.push_back(element(node, value->offset() + 2));
    return result;
  }
  if (const auto taken = taken_from(value)) {  // its own element, not the others'
    std::vector<Value*> own = elements_at(taken->from, taken->at);
    if (!own.empty()) return own;
  }
  for (Value* input : node->inputs()) result.push_back(input);
  return result;
}

std::optional<std::string> attribute_path(Value* value, const Owners& owners) {
  std::string path;
  while (value->node()->kind() == torch::jit::prim::GetAttr) {
    const std::string name = value->node()->s(torch::jit::attr::name);
    path = path.empty() ? name : name + "." + path;
    value = element(value->node(), 0);
  }
  if (path.empty() || value->node()->kind() != torch::jit::prim::Param) return std::nullopt;
  const auto fork = owners.find(value->node()->owningGraph());
  if (fork != owners.end() && value->offset() < fork->second->inputs().size()) {
    Value* const given = element(fork->second, value->offset());
    if (const auto outer = attribute_path(given, owners)) return *outer + "." + path;
    if (given->type()->cast<c10::ClassType>() == nullptr) return std::nullopt;
  }
  return path;
}

bool is_parameter(Value* value, const Owners& owners) {
  while (has(value->node(), KeepsParameter) && !value->node()->inputs().empty()) {
    // A norm's weight stands in front of what it scales.
    if (is(value->node(), "aten::mul") && is_tensor(argument(value->node(), Arg::Other))) return false;
    value = argument(value->node(), Arg::Operand);
  }
  if (!is_tensor(value)) return false;
  return constant_tensor(value).defined() || value->node()->kind() == torch::jit::prim::Constant ||
         attribute_path(value, owners).has_value();
}

namespace {

/// None when the value is no attribute of `self`.
c10::IValue attribute(Value* value, const Owners& owners, const Module& self) {
  const auto path = attribute_path(value, owners);
  if (!path) return {};
  c10::IValue object = self._ivalue();
  for (size_t start = 0; start <= path->size();) {
    const size_t end = std::min(path->find('.', start), path->size());
    const std::string name = path->substr(start, end - start);
    if (!object.isObject() || !object.toObject()->type()->findAttributeSlot(name)) return {};
    object = object.toObject()->getAttr(name);
    start = end + 1;
  }
  return object;
}

}  // namespace

at::Tensor constant_tensor(const Value* value) {
  if (value == nullptr) return {};
  const Node* const node = value->node();
  if (node->kind() == torch::jit::prim::ListUnpack) {  // a packed matrix that freezing cut
    const auto list = torch::jit::toIValue(element(node, 0));
    return list && list->isTensorList() ? list->toTensorList().get(value->offset()) : at::Tensor();
  }
  const auto known = torch::jit::toIValue(value);
  return known && known->isTensor() ? known->toTensor() : at::Tensor();
}

std::optional<std::string> parameter_path(Value* value, const Owners& owners) {
  if (auto path = attribute_path(value, owners)) return path;
  // Freezing calls the constant after the attribute; a saved file forgets it.
  static const std::string kSelf = "self.";
  const std::string name = value->debugName();
  if (value->node()->kind() != torch::jit::prim::Constant || name.rfind(kSelf, 0) != 0) return std::nullopt;
  return name.substr(kSelf.size());
}

at::Tensor parameter(Value* value, const Owners& owners, const Module& self) {
  if (const at::Tensor constant = constant_tensor(value); constant.defined()) return constant;
  const c10::IValue object = attribute(value, owners, self);
  return object.isTensor() ? object.toTensor() : at::Tensor();
}

std::optional<int64_t> constant_int(Value* value, const Owners& owners, const Module& self) {
  if (value == nullptr) return std::nullopt;
  while (is_any(value->node(), {"prim::unchecked_cast", "prim::unchecked_unwrap_optional"})) {
    value = element(value->node(), 0);
  }
  if (const auto known = torch::jit::toIValue(value)) {
    return known->isInt() ? std::optional<int64_t>(known->toInt()) : std::nullopt;
  }
  if (value->type()->kind() != c10::TypeKind::IntType) return std::nullopt;
  const c10::IValue object = attribute(value, owners, self);
  return object.isInt() ? std::optional<int64_t>(object.toInt()) : std::nullopt;
}

std::vector<std::optional<int64_t>> int_list(Value* value, const Owners& owners, const Module& self) {
  std::vector<std::optional<int64_t>> elements;
  if (value == nullptr) return elements;
  if (value->node()->kind() == torch::jit::prim::ListConstruct) {
    for (Value* element : value->node()->inputs()) elements.push_back(constant_int(element, owners, self));
  } else if (const auto known = torch::jit::toIValue(value)) {
    if (known->isIntList()) {
      for (const int64_t element : known->toIntVector()) elements.emplace_back(element);
    } else if (known->isInt()) {
      elements.emplace_back(known->toInt());
    }
  }
  return elements;
}

bool left_out(const Node* node, const Owners& owners, const Module& self) {
  for (const Block* block = node->owningBlock(); block->owningNode() != nullptr;
       block = block->owningNode()->owningBlock()) {
    const Node* const branch = block->owningNode();
    if (branch->kind() != torch::jit::prim::If) continue;
    Value* condition = element(branch, 0);
    bool taken = branch->blocks()[0] == block;
    for (; is(condition->node(), "aten::__not__"); taken = !taken)
      condition = argument(condition->node(), Arg::Operand);
    const c10::IValue object = attribute(condition, owners, self);
    const auto known = object.isBool() ? std::optional<bool>(object.toBool()) : constant_bool(condition);
    if (known && *known != taken) return true;
  }
  return false;
}

std::optional<bool> constant_bool(const Value* value) {
  const auto known = value == nullptr ? std::nullopt : torch::jit::toIValue(value);
  return known && known->isBool() ? std::optional<bool>(known->toBool()) : std::nullopt;
}

std::optional<std::string> constant_text(const Value* value) {
  const auto known = value == nullptr ? std::nullopt : torch::jit::toIValue(value);
  return known && known->isString() ? std::optional<std::string>(known->toStringRef()) : std::nullopt;
}

}  // namespace gaze
