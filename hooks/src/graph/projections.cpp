// SPDX-License-Identifier: MIT
#include "graph/projections.hpp"

#include <algorithm>
#include <deque>
#include <set>
#include <tuple>
#include <utility>

#include "graph/arguments.hpp"

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Value;
using Arms = std::map<Node*, size_t>;

constexpr size_t kMostSteps = 2048;  // over all ways through branches
constexpr int kDeepestEqual = 6;     // of two chains of operators that are compared

/// Of a branch that raises in all arms but one: what that makes; null of any other.
Value* only_arm(const Value* value) {
  Value* only = nullptr;
  for (const torch::jit::Block* arm : value->node()->blocks()) {
    Value* const made = const_cast<Value*>(arm->outputs()[value->offset()]);
    if (is(made->node(), "prim::Uninitialized")) continue;
    if (only != nullptr) return nullptr;
    only = made;
  }
  return only;
}

/// The parameter that a matrix is cut from, transposed or cast.
Value* whole_matrix(Value* matrix) {
  for (;;) {
    Node* const node = matrix->node();
    if (node->kind() == torch::jit::prim::If) {
      Value* const made = only_arm(matrix);
      if (made == nullptr) return matrix;
      matrix = made;
      continue;
    }
    if (node->inputs().empty()) return matrix;
    if (is(node, "prim::ListUnpack") &&
        is_any(element(node, 0)->node(), {"aten::chunk", "aten::split", "aten::split_with_sizes", "aten::unbind"})) {
      matrix = argument(element(node, 0)->node(), Arg::Operand);
    } else if (is_any(node, {"aten::t", "aten::numpy_T", "aten::mT", "aten::transpose", "aten::to",
                             "aten::_autocast_to_reduced_precision", "aten::slice", "aten::select", "aten::unsqueeze",
                             "prim::unchecked_cast"})) {
      matrix = argument(node, Arg::Operand);
    } else {
      return matrix;
    }
  }
}

/// A constant that more than scales: what freezing makes of a layer's weight. Tables of numbers that were computed
/// while tracing, frequencies of positions say, are vectors.
at::Tensor constant_matrix(const Value* value) {
  const at::Tensor tensor = constant_tensor(value);
  if (!tensor.defined() || tensor.dim() < 2 || !at::isFloatingType(tensor.scalar_type())) return {};
  const auto sizes = tensor.sizes();
  return tensor.numel() > *std::max_element(sizes.begin(), sizes.end()) ? tensor : at::Tensor();
}

std::optional<Projection> projection_at(Node* node, const Owners& owners) {
  if (!is_any(node, {"aten::linear", "aten::addmm", "aten::matmul", "aten::bmm", "aten::_convolution", "aten::conv1d",
                     "aten::conv2d", "aten::mm"})) {
    return std::nullopt;
  }
  for (Value* input : node->inputs()) {
    Value* const whole = whole_matrix(input);
    if (!is_tensor(whole)) continue;
    const auto path = parameter_path(whole, owners);
    Projection found;
    found.matrix = constant_matrix(whole);
    if (!found.matrix.defined() && !attribute_path(whole, owners)) continue;
    if (path) {
      const size_t dot = path->rfind('.');
      found.owner = dot == std::string::npos ? "" : path->substr(0, dot);
      found.leaf = path->substr(dot + 1) == "weight";
    }
    found.nameless = !path;
    for (Value* other : node->inputs()) {
      if (other == input || !is_tensor(other) || attribute_path(other, owners) || constant_tensor(other).defined())
        continue;
      found.input = other;
      break;
    }
    return found;
  }
  return std::nullopt;
}

/// Whether a branch can take that arm: `k is v` of one value is true.
bool can_take(Node* branch, size_t arm) {
  Value* const condition = element(branch, 0);
  Node* const node = condition->node();
  std::optional<bool> known = constant_bool(condition);
  if (is_any(node, {"aten::__is__", "aten::__isnot__"}) && argument(node, Arg::Operand) == argument(node, Arg::Other)) {
    known = is(node, "aten::__is__");
  }
  return !known || *known == (arm == 0);
}

bool within(const Arms& some, const Arms& all) {
  return std::all_of(some.begin(), some.end(), [&](const auto& arm) {
    const auto found = all.find(arm.first);
    return found != all.end() && found->second == arm.second;
  });
}

/// The arms of both; nullopt where they take different arms of a branch.
std::optional<Arms> together(const Arms& one, const Arms& other) {
  Arms both = one;
  for (const auto& [branch, arm] : other) {
    if (both.emplace(branch, arm).first->second != arm) return std::nullopt;
  }
  return both;
}

const ProjectionWay* nearest(const std::vector<ProjectionWay>& ways, const Arms& arms) {
  const auto found =
      std::find_if(ways.begin(), ways.end(), [&](const ProjectionWay& way) { return within(way.arms, arms); });
  return found == ways.end() ? nullptr : &*found;
}

bool carries_tensors(const Value* value) {
  const c10::TypeKind kind = value->type()->kind();
  return is_tensor(value) || kind == c10::TypeKind::ListType || kind == c10::TypeKind::OptionalType ||
         value->node()->kind() == torch::jit::prim::ListConstruct;
}

/// A branch, whose arms make a list each, or one that the graph made.
bool may_hold_elements(Value* whole) {
  return whole->node()->kind() == torch::jit::prim::If || contents_of(whole).has_value();
}

/// What a value is that was put into a list or tuple and taken out again.
Value* own_element(Value* value) {
  for (auto taken = taken_from(value); taken; taken = taken_from(value)) {
    const auto contents = contents_of(taken->from);
    if (!contents || taken->at >= contents->size()) break;
    value = (*contents)[taken->at];
  }
  return value;
}

bool same_constant(const Value* a, const Value* b) {
  const auto left = torch::jit::toIValue(a);
  const auto right = torch::jit::toIValue(b);
  if (!left || !right || left->type()->kind() != right->type()->kind()) return false;
  if (!left->isTensor()) return *left == *right;
  return left->toTensor().is_same(right->toTensor());
}

}  // namespace

std::vector<ProjectionWay> projections_of(Value* value, const Owners& owners) {
  std::vector<ProjectionWay> ways;
  // A value or, with a place, what stands there in the list or tuple that it is.
  using At = std::tuple<Value*, Arms, std::optional<size_t>>;
  std::deque<At> queue{{value, {}, std::nullopt}};
  std::set<At> seen{queue.front()};
  const auto go_on = [&](Value* next, const Arms& arms, std::optional<size_t> place) {
    if (seen.emplace(next, arms, place).second) queue.emplace_back(next, arms, place);
  };
  while (!queue.empty() && seen.size() < kMostSteps) {
    const auto [current, arms, place] = std::move(queue.front());
    queue.pop_front();
    if (nearest(ways, arms) != nullptr) continue;
    Node* const node = current->node();
    if (const auto found = projection_at(node, owners)) {
      ways.push_back({arms, *found});
      continue;
    }
    if (node->kind() == torch::jit::prim::If) {
      for (size_t arm = 0; arm < 2; ++arm) {
        Arms next = arms;
        if (!can_take(node, arm) || next.emplace(node, arm).first->second != arm) continue;
        go_on(node->blocks()[arm]->outputs()[current->offset()], next, place);
      }
      continue;
    }
    const auto contents = place ? contents_of(current) : std::nullopt;
    if (contents && *place < contents->size()) {
      go_on((*contents)[*place], arms, std::nullopt);
    } else if (const auto taken = taken_from(current); taken && may_hold_elements(taken->from)) {
      go_on(taken->from, arms, taken->at);
    } else {
      for (Value* next : sources(current, owners)) {
        if (carries_tensors(next)) go_on(next, arms, std::nullopt);
      }
    }
  }
  return ways;
}

bool same_value(Value* a, Value* b, int depth) {
  a = own_element(a);
  b = own_element(b);
  if (a == b) return true;
  Node* const x = a->node();
  Node* const y = b->node();
  if (depth > kDeepestEqual) return false;
  if (x == y && x->kind() == torch::jit::prim::If) {  // one branch made both: the same in each of its arms
    for (size_t arm = 0; arm < 2; ++arm) {
      const auto outputs = x->blocks()[arm]->outputs();
      if (can_take(x, arm) && !same_value(outputs[a->offset()], outputs[b->offset()], depth)) return false;
    }
    return true;
  }
  if (x->kind() != y->kind() || a->offset() != b->offset() || x->inputs().size() != y->inputs().size()) return false;
  if (x->kind() == torch::jit::prim::Constant) return same_constant(a, b);
  if (x->kind() == torch::jit::prim::GetAttr && x->s(torch::jit::attr::name) != y->s(torch::jit::attr::name))
    return false;
  if (x->inputs().empty() || !x->blocks().empty()) return false;
  return std::equal(x->inputs().begin(), x->inputs().end(), y->inputs().begin(),
                    [&](Value* one, Value* other) { return same_value(one, other, depth + 1); });
}

std::optional<bool> project_the_same(const std::vector<ProjectionWay>& queries,
                                     const std::vector<ProjectionWay>& keys) {
  std::optional<bool> same;
  for (const ProjectionWay& q : queries) {
    for (const ProjectionWay& k : keys) {
      const auto both = together(q.arms, k.arms);
      if (!both || nearest(queries, *both) != &q || nearest(keys, *both) != &k) continue;
      if (q.projection.input == nullptr || k.projection.input == nullptr) continue;
      same = same.value_or(true) && same_value(q.projection.input, k.projection.input);
    }
  }
  return same;
}

}  // namespace gaze
