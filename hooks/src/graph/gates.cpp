// SPDX-License-Identifier: MIT
#include "graph/gates.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <cmath>
#include <deque>
#include <unordered_set>

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// Where a value goes by itself, through the ends of blocks and in and out of tuples.
std::vector<Value*> carried_to(Value* value) {
  std::vector<Value*> targets;
  for (const torch::jit::Use& use : value->uses()) {
    Node* const user = use.user;
    if (user->kind() == torch::jit::prim::Return) {
      Node* const owner = user->owningBlock()->owningNode();
      if (owner != nullptr && owner->kind() == torch::jit::prim::If) targets.push_back(owner->output(use.offset));
    } else if (user->kind() == torch::jit::prim::TupleConstruct) {
      for (const torch::jit::Use& of_tuple : user->output()->uses()) {
        Node* const taker = of_tuple.user;
        if (taker->kind() == torch::jit::prim::TupleUnpack) targets.push_back(taker->output(use.offset));
        if (taker->kind() != torch::jit::prim::TupleIndex) continue;
        const auto index = torch::jit::toIValue(element(taker, 1));
        if (index && index->isInt() && index->toInt() == static_cast<int64_t>(use.offset)) {
          targets.push_back(taker->output());
        }
      }
    }
  }
  return targets;
}

Value* without_shaping(Value* value) {
  while (has(value->node(), Shapes)) value = argument(value->node(), Arg::Operand);
  return value;
}

std::optional<double> only_element(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_meta() || tensor.numel() != 1 || !tensor.is_floating_point()) return std::nullopt;
  return tensor.detach().to(at::kCPU, at::kDouble).item<double>();
}

std::optional<Gate> gate(Value* factor, const Owners& owners, const torch::jit::Module& self) {
  factor = without_shaping(factor);
  const bool tanh = is_any(factor->node(), {"aten::tanh", "aten::tanh_"});
  if (tanh || is_any(factor->node(), {"aten::sigmoid", "aten::sigmoid_"})) {
    Value* const inside = without_shaping(argument(factor->node(), Arg::Operand));
    auto x = only_element(parameter(inside, owners, self));
    if (x) *x = tanh ? std::tanh(*x) : 1 / (1 + std::exp(-*x));
    return Gate{x};
  }
  // A frozen file holds the result.
  const auto known = torch::jit::toIValue(factor);
  const bool one = known && known->isTensor() && known->toTensor().dim() == 1;  // a traced number has no dimension
  const auto x = one ? only_element(known->toTensor()) : std::nullopt;
  return x && std::abs(*x) <= 1 ? std::optional(Gate{x}) : std::nullopt;  // tanh and sigmoid make nothing larger
}

}  // namespace

std::optional<Gate> gate_of(Value* value, const Owners& owners, const torch::jit::Module& self) {
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  const auto follow = [&](Value* next) {
    if (is_tensor(next) && seen.insert(next).second) queue.push_back(next);
  };
  while (!queue.empty()) {
    Value* const current = queue.front();
    queue.pop_front();
    for (Value* next : carried_to(current)) follow(next);
    for (const torch::jit::Use& use : current->uses()) {
      Node* const user = use.user;
      if (is_any(user, {"aten::mul", "aten::mul_"})) {
        Value* const factor = argument(user, used_as(use, Arg::Operand) ? Arg::Other : Arg::Operand);
        if (factor == nullptr) continue;
        if (auto found = gate(factor, owners, self)) return found;
      } else if (has(user, PassesGate)) {
        for (Value* next : user->outputs()) follow(next);
      }
    }
  }
  return std::nullopt;
}

}  // namespace gaze
