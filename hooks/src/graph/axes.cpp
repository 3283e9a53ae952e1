// SPDX-License-Identifier: MIT
#include "graph/axes.hpp"
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
    const auto needs = [&](size_t input, int64_t rank) {
      if (input < node->inputs().size() && is_tensor(node->input(input))) ranks_.emplace(node->input(input), rank);
    };
    if (is(node, "aten::bmm")) {
      needs(0, 3);
      needs(1, 3);
    } else if (is(node, "aten::baddbmm")) {
      needs(1, 3);
      needs(2, 3);
    } else if (is(node, "aten::conv2d")) {
      needs(0, 4);
    } else if (is(node, "aten::permute")) {
      const auto order = int_list(node->input(1), owners_, self_);
      if (!order.empty()) needs(0, static_cast<int64_t>(order.size()));
    } else if (const auto out = rank(node->output())) {
      if (has(node, KeepsRank)) needs(0, *out);
      if (is_any(node, {"aten::squeeze", "aten::select"}) && node->inputs().size() > 1) needs(0, *out + 1);
      if (is(node, "aten::unsqueeze")) needs(0, *out - 1);
    }
  }
}

std::optional<int64_t> GraphAxes::constant(Value* value) const {
  if (const auto known = constant_int(value, owners_, self_)) return known;
  if (value->node()->kind() != torch::jit::prim::If) return std::nullopt;
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

std::optional<int64_t> GraphAxes::find_rank(Value* value) const {
  if (const auto type = value->type()->cast<c10::TensorType>()) {
    if (const auto dim = type->dim()) return static_cast<int64_t>(*dim);
  }
  if (depth_ > kDeepest) return hint(value);
  Node* node = value->node();
  const auto of = [&](Value* input) { return rank(input); };
  const auto length = [&](size_t input) -> std::optional<int64_t> {
    const auto list = int_list(node->input(input), owners_, self_);
    return list.empty() ? std::nullopt : std::optional<int64_t>(static_cast<int64_t>(list.size()));
  };
  if (node->kind() == torch::jit::prim::Param || node->kind() == torch::jit::prim::If ||
      node->kind() == torch::jit::prim::Loop || node->kind() == torch::jit::prim::TupleUnpack) {
    for (Value* from : sources(value, owners_)) {
      if (from == value || !is_tensor(from)) continue;
      if (const auto known = of(from)) return known;
    }
    return hint(value);
  }
  if (is_any(node, {"aten::view", "aten::reshape", "aten::permute", "aten::expand", "aten::zeros", "aten::ones",
                    "aten::repeat", "aten::_unsafe_view"})) {
    return length(is_any(node, {"aten::zeros", "aten::ones"}) ? 0 : 1);
  }
  if (is_any(node, {"aten::bmm", "aten::baddbmm"})) return 3;
  if (is_any(node, {"aten::mm", "aten::addmm", "aten::t"})) return 2;
  if (is(node, "aten::conv1d")) return 3;
  if (is(node, "aten::conv2d")) return 4;
  if (is(node, "aten::conv3d")) return 5;
  if (is_any(node, {"aten::_convolution", "aten::convolution"})) {
    const auto strides = length(3);
    return strides ? std::optional<int64_t>(*strides + 2) : std::nullopt;
  }
  if (is(node, "aten::einsum")) {
    const auto equation = torch::jit::toIValue(node->input(0));
    if (!equation || !equation->isString()) return std::nullopt;
    const std::string& text = equation->toStringRef();
    const size_t arrow = text.find("->");
    if (arrow == std::string::npos || text.find('.') != std::string::npos) return std::nullopt;
    return std::count_if(text.begin() + static_cast<std::ptrdiff_t>(arrow) + 2, text.end(),
                         [](char c) { return c != ' '; });
  }
  if (node->inputs().empty()) return hint(value);
  if (node->kind() == torch::jit::prim::ListUnpack) {
    Node* list = node->input(0)->node();
    if (list->kind() == torch::jit::prim::ListConstruct) {
      return value->offset() < list->inputs().size() ? of(list->input(value->offset())) : hint(value);
    }
    if (list->inputs().empty()) return hint(value);
    const auto whole = of(list->input(0));
    return whole && is(list, "aten::unbind") ? std::optional<int64_t>(*whole - 1) : whole;
  }
  Value* first = node->input(0);
  if (is_any(node, {"aten::cat", "aten::stack"})) {
    if (first->node()->kind() != torch::jit::prim::ListConstruct || first->node()->inputs().empty())
      return std::nullopt;
    const auto element = of(first->node()->input(0));
    return element && is(node, "aten::stack") ? std::optional<int64_t>(*element + 1) : element;
  }
  if (is(node, "aten::embedding")) {
    const auto indices = of(node->input(1));
    return indices ? std::optional<int64_t>(*indices + 1) : std::nullopt;
  }
  if (!is_tensor(first)) return hint(value);
  if (is_any(node, {"aten::matmul", "aten::mul", "aten::add", "aten::sub", "aten::div"}) && is_tensor(node->input(1))) {
    const auto a = of(first);
    const auto b = of(node->input(1));
    if (!a || !b) return hint(value);
    return std::max(*a, *b);
  }
  const auto known = of(first);
  if (!known) return hint(value);
  if (is(node, "aten::unsqueeze")) return *known + 1;
  if (is_any(node, {"aten::select", "aten::squeeze"})) {
    return node->inputs().size() > 1 ? std::optional<int64_t>(*known - 1) : std::nullopt;
  }
  if (is(node, "aten::flatten")) {
    const auto start = constant(node->input(1));
    const auto end = constant(node->input(2));
    if (!start || !end) return std::nullopt;
    return *known - ((*end < 0 ? *end + *known : *end) - (*start < 0 ? *start + *known : *start));
  }
  if (is(node, "aten::unflatten")) {
    const auto more = length(2);
    return more ? std::optional<int64_t>(*known + *more - 1) : std::nullopt;
  }
  if (has(node, Reduces) && node->inputs().size() >= 3) {
    const auto keep = torch::jit::toIValue(node->input(2));
    const auto dims = length(1);
    if (keep && keep->isBool() && keep->toBool()) return known;
    return dims ? std::optional<int64_t>(*known - *dims) : std::nullopt;
  }
  if (is_any(node, {"aten::chunk", "aten::split", "aten::unbind", "aten::index", "aten::max", "aten::min"})) {
    return std::nullopt;
  }
  return known;
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

bool GraphAxes::from_convolution(Value* value) const {
  for (int step = 0; step < 8; ++step) {
    Node* node = value->node();
    if (has(node, Convolves)) return true;
    const bool keeps =
        node->kind() == torch::jit::prim::ListUnpack || node->kind() == torch::jit::prim::ListConstruct ||
        is_any(node, {"aten::chunk", "aten::split", "aten::relu", "aten::relu_", "aten::batch_norm", "aten::group_norm",
                      "aten::mul", "aten::contiguous", "aten::select", "aten::max_pool2d", "aten::silu", "aten::div"});
    if (!keeps || node->inputs().empty()) return false;
    value = node->input(0);
  }
  return false;
}

Axis GraphAxes::before_reshape(Value* out, Value* in, int64_t axis, Reshape reshape) const {
  const auto list = int_list(out->node()->input(1), owners_, self_);
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
  Node* node = out->node();
  auto a = from_end(node->input(1), in);
  auto b = from_end(node->input(2), in);
  if (!a) a = from_end(node->input(1), out);
  if (!b) b = from_end(node->input(2), out);
  if (!a && !b) {  // neighbours of a tensor of unknown rank: its last two, or they would have been split by a view
    const auto first = constant(node->input(1));
    const auto second = constant(node->input(2));
    if (!first || !second || std::abs(*first - *second) != 1) return {};
    a = -2;
    b = -1;
  }
  if (!a || !b) return {};
  return Axis::known(axis == *a ? *b : axis == *b ? *a : axis);
}

Axis GraphAxes::before_permute(Value* out, int64_t axis) const {
  const auto order = int_list(out->node()->input(1), owners_, self_);
  const auto all = static_cast<int64_t>(order.size());
  if (-axis > all) return {};
  const auto from = order[static_cast<size_t>(axis + all)];
  return from ? Axis::known(*from < 0 ? *from : *from - all) : Axis();
}

Axis GraphAxes::before_movedim(Value* out, Value* in, int64_t axis) const {
  const auto from = from_end(out->node()->input(1), in);
  const auto to = from_end(out->node()->input(2), in);
  if (!from || !to) return {};
  if (axis == *to) return Axis::known(*from);
  int64_t at = axis > *to ? axis : axis + 1;  // its place among the axes that stay
  if (at <= *from) --at;
  return Axis::known(at);
}

Axis GraphAxes::before_reduction(Value* out, Value* in, int64_t axis) const {
  Node* node = out->node();
  const auto keep = torch::jit::toIValue(node->input(2));
  if (keep && keep->isBool() && keep->toBool()) return Axis::known(axis);
  const auto dims = int_list(node->input(1), owners_, self_);
  if (dims.size() != 1 || !dims[0]) return {};
  const auto from = rank(in);
  if (*dims[0] >= 0 && !from) return {};
  const int64_t gone = *dims[0] < 0 ? *dims[0] : *dims[0] - *from;
  return Axis::known(axis > gone ? axis : axis - 1);
}

Axis GraphAxes::before_flatten(Value* out, Value* in, int64_t axis) const {
  const auto from = rank(in);
  auto start = constant(out->node()->input(1));
  auto end = constant(out->node()->input(2));
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
  const auto at = from_end(out->node()->input(1), in);
  const auto parts = static_cast<int64_t>(int_list(out->node()->input(2), owners_, self_).size());
  if (!at || parts == 0) return {};
  if (axis > *at) return Axis::known(axis);
  if (axis > *at - parts) return Axis::known(*at);
  return Axis::known(axis + parts - 1);
}

Axis GraphAxes::before(Value* out, Value* in, int64_t axis, Reshape reshape) const {
  Node* node = out->node();
  if (has(node, KeepsAxes)) {
    if (is(node, "aten::where") && node->inputs().size() == 3 && in == node->input(0)) return {};
    const auto from = is_tensor(in) ? rank(in) : std::nullopt;
    if (from && -axis > *from) return Axis::made();
    return Axis::known(axis);
  }
  if (node->kind() == torch::jit::prim::ListUnpack) {
    Node* list = node->input(0)->node();
    return is(list, "aten::unbind") ? before(list->output(), list->input(0), axis, reshape) : Axis::known(axis);
  }
  if (in != node->input(0)) return {};
  if (is_any(node, {"aten::transpose", "aten::swapaxes", "aten::transpose_"})) return before_transpose(out, in, axis);
  if (is_any(node, {"aten::t", "aten::mT", "aten::numpy_T", "aten::adjoint"}))
    return Axis::known(axis == -1 ? -2 : axis == -2 ? -1 : axis);
  if (is(node, "aten::permute")) return before_permute(out, axis);
  if (is(node, "aten::movedim")) return before_movedim(out, in, axis);
  if (is(node, "aten::unsqueeze")) {
    const auto made = from_end(node->input(1), out);
    if (!made) return {};
    if (axis == *made) return Axis::made();
    return Axis::known(axis > *made ? axis : axis + 1);
  }
  if (is_any(node, {"aten::squeeze", "aten::select", "aten::unbind"})) {
    const auto gone = node->inputs().size() < 2 ? std::nullopt : from_end(node->input(1), in);
    if (!gone) return {};
    return Axis::known(axis > *gone ? axis : axis - 1);
  }
  if (has(node, Reduces) && node->inputs().size() >= 3) return before_reduction(out, in, axis);
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
