// SPDX-License-Identifier: MIT
#include "graph/axes.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <algorithm>

namespace gaze {

using torch::jit::Node;
using torch::jit::Value;

namespace {

constexpr int kDeepest = 256;  // of a chain that is followed for a rank

}  // namespace

GraphAxes::GraphAxes(torch::jit::Graph& graph, const Owners& owners, const torch::jit::Module& self)
    : owners_(owners), self_(self) {
  infer_backwards(graph.block());
  known_.clear();  // some of it was asked for before all hints were there
}

void GraphAxes::infer_backwards(torch::jit::Block* block) {
  for (Node* node : block->nodes().reverse()) {
    for (torch::jit::Block* inner : node->blocks()) infer_backwards(inner);
    if (node->inputs().empty() || node->outputs().size() != 1) continue;
    const auto needs = [&](Arg which, int64_t rank) {
      if (Value* const input = argument(node, which); is_tensor(input)) ranks_.emplace(input, rank);
    };
    if (is_any(node, {"aten::bmm", "aten::baddbmm"})) {
      needs(Arg::Left, 3);
      needs(Arg::Right, 3);
    } else if (is(node, "aten::conv2d")) {
      needs(Arg::Operand, 4);
    } else if (is(node, "aten::permute")) {
      if (const auto all = length(argument(node, Arg::Order))) needs(Arg::Operand, *all);
    } else if (const auto out = rank(node->output())) {
      if (has(node, KeepsRank)) needs(Arg::Operand, *out);
      if (is_any(node, {"aten::squeeze", "aten::select"}) && argument(node, Arg::Dim) != nullptr)
        needs(Arg::Operand, *out + 1);
      if (is(node, "aten::unsqueeze")) needs(Arg::Operand, *out - 1);
    }
  }
}

std::optional<int64_t> GraphAxes::constant(Value* value) const {
  if (const auto known = constant_int(value, owners_, self_)) return known;
  if (value == nullptr || value->node()->kind() != torch::jit::prim::If) return std::nullopt;
  std::optional<int64_t> result;
  for (Value* arm : sources(value, owners_)) {  // `if dim is None: dim = ...`: the other arm has the number
    if (const auto known = constant(arm)) result = known;
  }
  return result;
}

std::optional<int64_t> GraphAxes::hint(const Value* value) const {
  const auto found = ranks_.find(value);
  return found == ranks_.end() ? std::nullopt : std::optional<int64_t>(found->second);
}

std::optional<int64_t> GraphAxes::rank(Value* value) const {
  const auto [at, added] = known_.emplace(value, std::nullopt);  // within a loop the answer may depend on itself
  if (!added) {
    if (!at->second) at->second = hint(value);
    return at->second;
  }
  ++depth_;
  const auto found = find_rank(value);
  --depth_;
  return known_[value] = found;
}

std::optional<int64_t> GraphAxes::length(Value* list) const {
  const auto elements = int_list(list, owners_, self_);
  return elements.empty() ? std::nullopt : std::optional<int64_t>(static_cast<int64_t>(elements.size()));
}

std::optional<int64_t> GraphAxes::find_rank(Value* value) const {
  if (const auto type = value->type()->cast<c10::TensorType>()) {
    if (const auto dim = type->dim()) return static_cast<int64_t>(*dim);
  }
  if (const at::Tensor known = parameter(value, owners_, self_); known.defined()) return known.dim();
  if (depth_ > kDeepest) return hint(value);
  Node* node = value->node();
  if (node->kind() == torch::jit::prim::Param || node->kind() == torch::jit::prim::If ||
      node->kind() == torch::jit::prim::Loop || node->kind() == torch::jit::prim::TupleUnpack) {
    return rank_of_sources(value);
  }
  if (const auto told = rank_by_operator(node)) return *told;
  if (node->inputs().empty()) return hint(value);
  if (node->kind() == torch::jit::prim::ListUnpack) return rank_of_element(value);
  if (const auto told = rank_by_list_or_table(node)) return *told;
  // The mask of `where` has the axes of what it chooses from.
  Value* const first = argument(node, is(node, "aten::where") ? Arg::Condition : Arg::Operand);
  if (!is_tensor(first)) return hint(value);
  if (is_any(node, {"aten::matmul", "aten::mul", "aten::add", "aten::sub", "aten::div"})) {
    Value* const second = argument(node, is(node, "aten::matmul") ? Arg::Right : Arg::Other);
    if (is_tensor(second)) {
      const auto a = rank(first);
      const auto b = rank(second);
      return a && b ? std::optional<int64_t>(std::max(*a, *b)) : hint(value);
    }
  }
  const auto known = rank(first);
  return known ? rank_made_of(node, *known) : hint(value);
}

std::optional<int64_t> GraphAxes::rank_of_sources(Value* value) const {
  for (Value* from : sources(value, owners_)) {
    if (from == value || !is_tensor(from)) continue;
    if (const auto known = rank(from)) return known;
  }
  return hint(value);
}

std::optional<GraphAxes::Rank> GraphAxes::rank_by_operator(Node* node) const {
  if (is_any(node, {"aten::view", "aten::reshape", "aten::expand", "aten::zeros", "aten::ones", "aten::repeat",
                    "aten::_unsafe_view"})) {
    return length(argument(node, Arg::Sizes));
  }
  if (is(node, "aten::permute")) return length(argument(node, Arg::Order));
  if (is_any(node, {"aten::mm", "aten::addmm", "aten::t"})) return 2;
  if (is_any(node, {"aten::bmm", "aten::baddbmm", "aten::conv1d"})) return 3;
  if (is(node, "aten::conv2d")) return 4;
  if (is(node, "aten::conv3d")) return 5;
  if (is_any(node, {"aten::_convolution", "aten::convolution"})) {
    const auto strides = length(argument(node, Arg::Stride));
    return strides ? Rank(*strides + 2) : Rank();
  }
  if (!is(node, "aten::einsum")) return std::nullopt;
  const auto text = constant_text(argument(node, Arg::Equation));
  const size_t arrow = text ? text->find("->") : std::string::npos;
  if (arrow == std::string::npos || text->find('.') != std::string::npos) return Rank();
  return std::count_if(text->begin() + static_cast<std::ptrdiff_t>(arrow) + 2, text->end(),
                       [](char c) { return c != ' '; });
}

std::optional<int64_t> GraphAxes::rank_of_element(Value* value) const {
  Node* const list = element(value->node(), 0)->node();
  if (list->kind() == torch::jit::prim::ListConstruct) {
    return value->offset() < list->inputs().size() ? rank(element(list, value->offset())) : hint(value);
  }
  if (list->inputs().empty()) return hint(value);
  const auto whole = rank(argument(list, Arg::Operand));
  return whole && is(list, "aten::unbind") ? Rank(*whole - 1) : whole;
}

std::optional<GraphAxes::Rank> GraphAxes::rank_by_list_or_table(Node* node) const {
  if (is_any(node, {"aten::cat", "aten::stack"})) {
    Node* const list = argument(node, Arg::Operand)->node();
    if (list->kind() != torch::jit::prim::ListConstruct || list->inputs().empty()) return Rank();
    const auto one = rank(element(list, 0));
    return one && is(node, "aten::stack") ? Rank(*one + 1) : one;
  }
  if (!is(node, "aten::embedding")) return std::nullopt;
  Value* const indices = argument(node, Arg::Indices);
  const auto known = indices != nullptr ? rank(indices) : std::nullopt;
  return known ? Rank(*known + 1) : Rank();
}

std::optional<int64_t> GraphAxes::rank_made_of(Node* node, int64_t rank) const {
  if (is(node, "aten::unsqueeze")) return rank + 1;
  if (is_any(node, {"aten::select", "aten::squeeze"})) {
    return argument(node, Arg::Dim) != nullptr ? Rank(rank - 1) : Rank();
  }
  if (is(node, "aten::flatten")) {
    const auto start = constant(argument(node, Arg::Start));
    const auto end = constant(argument(node, Arg::End));
    if (!start || !end) return std::nullopt;
    return rank - ((*end < 0 ? *end + rank : *end) - (*start < 0 ? *start + rank : *start));
  }
  if (is(node, "aten::unflatten")) {
    const auto more = length(argument(node, Arg::Sizes));
    return more ? Rank(rank + *more - 1) : Rank();
  }
  if (has(node, Reduces) && argument(node, Arg::Keepdim) != nullptr) {
    if (constant_bool(argument(node, Arg::Keepdim)).value_or(false)) return rank;
    const auto dims = length(argument(node, Arg::Dim));
    return dims ? Rank(rank - *dims) : Rank();
  }
  if (is_any(node, {"aten::chunk", "aten::split", "aten::unbind", "aten::index", "aten::max", "aten::min"})) {
    return std::nullopt;
  }
  return rank;
}

std::optional<int64_t> GraphAxes::from_end(Value* axis, Value* value) const {
  const auto known = constant(axis);
  if (!known || *known < 0) return known;
  const auto all = rank(value);
  return all ? std::optional<int64_t>(*known - *all) : std::nullopt;
}

std::optional<int64_t> GraphAxes::only_axis(Value* list, Value* value) const {
  const auto known = int_list(list, owners_, self_);
  if (known.size() != 1 || !known[0] || *known[0] < 0) return known.size() == 1 ? known[0] : std::nullopt;
  const auto all = rank(value);
  return all ? std::optional<int64_t>(*known[0] - *all) : std::nullopt;
}

bool GraphAxes::projects(const Node* node) const {
  return is(node, "aten::linear") ||
         (is_any(node, {"aten::matmul", "aten::mm"}) && is_parameter(argument(node, Arg::Right), owners_));
}

bool GraphAxes::from_convolution(Value* value) const {
  for (int step = 0; step < 8; ++step) {
    Node* node = value->node();
    if (has(node, Convolves)) return true;
    const bool keeps =
        node->kind() == torch::jit::prim::ListUnpack || node->kind() == torch::jit::prim::ListConstruct ||
        is_any(node, {"aten::chunk", "aten::split", "aten::relu", "aten::relu_", "aten::batch_norm", "aten::group_norm",
                      "aten::mul", "aten::contiguous", "aten::select", "aten::max_pool2d", "aten::silu", "aten::div"});
    if (!keeps || node->inputs().empty()) return false;
    value = argument(node, Arg::Operand);
  }
  return false;
}

Axis GraphAxes::before_reshape(Value* out, Value* in, int64_t axis, Reshape reshape) const {
  const auto list = int_list(argument(out->node(), Arg::Sizes), owners_, self_);
  const auto from = rank(in);
  const auto to = static_cast<int64_t>(list.size());
  if (list.empty() || -axis > to) return {};
  if (reshape == Reshape::SplitsFeatures && from_convolution(in)) {
    // [b, c, h, w] becomes [b, c, h * w], or [b, heads, c / heads, h * w].
    return Axis::known(axis == -1 ? -1 : from ? 1 - *from : -3);
  }
  if (!from || *from == to) return Axis::known(axis);
  if (*from > to) return Axis::known(axis > -to ? axis : -*from);
  if (reshape == Reshape::KeepsLast) return Axis::known(std::max(axis, -*from));
  const int64_t more = to - *from;
  return Axis::known(axis >= -(1 + more) ? -1 : axis + more);
}

Axis GraphAxes::before_transpose(Value* out, Value* in, int64_t axis) const {
  Value* const first = argument(out->node(), Arg::First);
  Value* const second = argument(out->node(), Arg::Second);
  auto a = from_end(first, in);
  auto b = from_end(second, in);
  if (!a) a = from_end(first, out);
  if (!b) b = from_end(second, out);
  if (!a && !b) {  // neighbours of a tensor of unknown rank: its last two, or they would have been split by a view
    const auto one = constant(first);
    const auto other = constant(second);
    if (!one || !other || std::abs(*one - *other) != 1) return {};
    a = -2;
    b = -1;
  }
  if (!a || !b) return {};
  return Axis::known(axis == *a ? *b : axis == *b ? *a : axis);
}

Axis GraphAxes::before_permute(Value* out, int64_t axis) const {
  const auto order = int_list(argument(out->node(), Arg::Order), owners_, self_);
  const auto all = static_cast<int64_t>(order.size());
  if (-axis > all) return {};
  const auto from = order[static_cast<size_t>(axis + all)];
  return from ? Axis::known(*from < 0 ? *from : *from - all) : Axis();
}

Axis GraphAxes::before_movedim(Value* out, Value* in, int64_t axis) const {
  const auto from = from_end(argument(out->node(), Arg::First), in);
  const auto to = from_end(argument(out->node(), Arg::Second), in);
  if (!from || !to) return {};
  if (axis == *to) return Axis::known(*from);
  int64_t at = axis > *to ? axis : axis + 1;  // its place among the axes that stay
  if (at <= *from) --at;
  return Axis::known(at);
}

Axis GraphAxes::before_reduction(Value* out, Value* in, int64_t axis) const {
  Node* node = out->node();
  if (constant_bool(argument(node, Arg::Keepdim)).value_or(false)) return Axis::known(axis);
  const auto dims = int_list(argument(node, Arg::Dim), owners_, self_);
  if (dims.size() != 1 || !dims[0]) return {};
  const auto from = rank(in);
  if (*dims[0] >= 0 && !from) return {};
  const int64_t gone = *dims[0] < 0 ? *dims[0] : *dims[0] - *from;
  return Axis::known(axis > gone ? axis : axis - 1);
}

Axis GraphAxes::before_flatten(Value* out, Value* in, int64_t axis) const {
  const auto from = rank(in);
  auto start = constant(argument(out->node(), Arg::Start));
  auto end = constant(argument(out->node(), Arg::End));
  if (!start || !end) return {};
  if (!from && (*start >= 0 || *end >= 0)) {
    // flatten(2): the last axis is what was joined.
    if (*end != -1) return {};
    return axis == -1 ? Axis::known(-1) : Axis();
  }
  if (*start >= 0) start = *start - *from;
  if (*end >= 0) end = *end - *from;
  if (axis > *end) return Axis::known(axis);
  if (axis == *end) return Axis::known(*end);  // the last of those that were joined
  return Axis::known(axis - (*end - *start));
}

Axis GraphAxes::before_unflatten(Value* out, Value* in, int64_t axis) const {
  const auto at = from_end(argument(out->node(), Arg::Dim), in);
  const auto sizes = length(argument(out->node(), Arg::Sizes));
  if (!at || !sizes) return {};
  const int64_t parts = *sizes;
  if (axis > *at) return Axis::known(axis);
  if (axis > *at - parts) return Axis::known(*at);
  return Axis::known(axis + parts - 1);
}

Axis GraphAxes::before(Value* out, Value* in, int64_t axis, Reshape reshape) const {
  Node* node = out->node();
  if (has(node, KeepsAxes)) {
    if (is(node, "aten::where") && in == argument(node, Arg::Condition)) return {};
    const auto from = is_tensor(in) ? rank(in) : std::nullopt;
    if (from && -axis > *from) return Axis::made();
    return Axis::known(axis);
  }
  if (node->kind() == torch::jit::prim::ListUnpack) {
    Node* list = element(node, 0)->node();
    return is(list, "aten::unbind") ? before(list->output(), argument(list, Arg::Operand), axis, reshape)
                                    : Axis::known(axis);
  }
  if (in != argument(node, Arg::Operand)) return {};
  if (is_any(node, {"aten::transpose", "aten::swapaxes", "aten::transpose_"})) return before_transpose(out, in, axis);
  if (is_any(node, {"aten::t", "aten::mT", "aten::numpy_T", "aten::adjoint"}))
    return Axis::known(axis == -1 ? -2 : axis == -2 ? -1 : axis);
  if (is(node, "aten::permute")) return before_permute(out, axis);
  if (is(node, "aten::movedim")) return before_movedim(out, in, axis);
  if (is(node, "aten::unsqueeze")) {
    const auto made = from_end(argument(node, Arg::Dim), out);
    if (!made) return {};
    if (axis == *made) return Axis::made();
    return Axis::known(axis > *made ? axis : axis + 1);
  }
  if (is_any(node, {"aten::squeeze", "aten::select", "aten::unbind"})) {
    const auto gone = from_end(argument(node, Arg::Dim), in);
    if (!gone) return {};
    return Axis::known(axis > *gone ? axis : axis - 1);
  }
  if (has(node, Reduces) && argument(node, Arg::Keepdim) != nullptr) return before_reduction(out, in, axis);
  if (is_any(node, {"aten::view", "aten::reshape", "aten::_unsafe_view"}))
    return before_reshape(out, in, axis, reshape);
  if (is(node, "aten::flatten")) return before_flatten(out, in, axis);
  if (is(node, "aten::unflatten")) return before_unflatten(out, in, axis);
  // Mixing over one axis keeps the others.
  if (is_any(node, {"aten::linear", "aten::matmul"})) return axis == -1 ? Axis() : Axis::known(axis);
  if (has(node, Convolves)) {
    const auto all = rank(out);
    return !all || axis == 1 - *all ? Axis() : Axis::known(axis);
  }
  return {};
}

}  // namespace gaze
