// SPDX-License-Identifier: MIT
#include "graph/heads_of.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace gaze {
namespace {

using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

/// Whether a node multiplies by a parameter, which makes features anew.
bool projects(const Node* node, const Owners& owners) {
  if (is_any(node, {"aten::linear", "aten::addmm", "aten::conv1d", "aten::conv2d", "aten::_convolution"})) return true;
  return is_any(node, {"aten::matmul", "aten::mm"}) && is_parameter(argument(node, Arg::Right), owners);
}

/// As many features as the matrix of a projection makes; 0 when it is not known.
int64_t features_made(const Node* node, const Owners& owners, const Module& self) {
  const bool linear = is(node, "aten::linear");  // [out, in]; the others have [in, out]
  Value* weight = argument(node, is_any(node, {"aten::linear", "aten::addmm"}) ? Arg::Weight : Arg::Right);
  if (weight == nullptr) return 0;
  bool transposed = false;
  for (; is(weight->node(), "aten::t"); transposed = !transposed) weight = argument(weight->node(), Arg::Operand);
  const auto tensor = parameter(weight, owners, self);
  return tensor.defined() && tensor.dim() == 2 ? tensor.size(linear == transposed ? 1 : 0) : 0;
}

/// What an operator works on: behind a parameter that stands in front, as a norm's weight does.
Value* worked_on(const Node* node, const Owners& owners) {
  Value* const first = argument(node, Arg::Operand);
  if (!is_any(node, {"aten::mul", "aten::add"}) || !is_parameter(first, owners)) return first;
  Value* const other = argument(node, Arg::Other);
  return is_tensor(other) ? other : first;
}

/// Of a sum with a bias, the other operand; null of any other sum.
Value* without_bias(const Node* sum, const Owners& owners) {
  Value* const one = argument(sum, Arg::Operand);
  Value* const other = argument(sum, Arg::Other);
  if (!is_tensor(other)) return nullptr;
  if (is_parameter(other, owners)) return one;
  return is_parameter(one, owners) ? other : nullptr;
}

/// Of what is cut out of a projection's features: how many that are.
int64_t features_cut(const Node* slice, const Owners& owners, const Module& self) {
  if (constant_int(argument(slice, Arg::Dim), owners, self) != -1) return 0;
  const auto from = constant_int(argument(slice, Arg::From), owners, self);
  const auto to = constant_int(argument(slice, Arg::To), owners, self);
  return from && to && *from >= 0 && *to > *from ? *to - *from : 0;
}

/// Features of a projected value, before it is split into heads; 0 when they are not known.
int64_t features_of(Value* value, const Owners& owners, const Module& self) {
  int64_t pieces = 1;  // that a projection was cut into on the way
  for (int step = 0; step < 8; ++step) {
    Node* node = value->node();
    if (is_any(node, {"aten::linear", "aten::addmm"}) ||
        (is_any(node, {"aten::matmul", "aten::mm"}) && projects(node, owners))) {
      return features_made(node, owners, self) / pieces;
    }
    if (is(node, "aten::slice")) return features_cut(node, owners, self) / pieces;
    if (is(node, "aten::chunk")) {
      const auto chunks = constant_int(argument(node, Arg::Chunks), owners, self);
      if (!chunks || *chunks < 1) return 0;
      pieces *= *chunks;
    } else if (is(node, "aten::add")) {
      value = without_bias(node, owners);
      if (value == nullptr) return 0;
      continue;
    } else if (node->inputs().empty() ||
               !is_any(node, {"aten::mul", "aten::view", "aten::reshape", "aten::to", "aten::clamp", "prim::ListUnpack",
                              "aten::contiguous", "aten::layer_norm", "aten::rms_norm",
                              "aten::_autocast_to_reduced_precision"})) {
      return 0;
    }
    value = worked_on(node, owners);
  }
  return 0;
}

/// A number that a graph holds; traced ones are tensors.
std::optional<int64_t> held_number(Value* value, const Owners& owners, const Module& self) {
  const at::Tensor tensor = constant_tensor(value);
  if (!tensor.defined()) return constant_int(value, owners, self);
  const bool number = tensor.dim() == 0 && at::isIntegralType(tensor.scalar_type(), /*includeBool=*/false);
  return number ? std::optional<int64_t>(tensor.item<int64_t>()) : std::nullopt;
}

/// Of [n, batch * heads, d] and [batch * heads, n, d]: the factor that the graph holds; 0 where it holds none.
int64_t heads_beside_batch(Value* sizes, const Owners& owners, const Module& self) {
  const auto elements = contents_of(sizes);
  if (!elements || elements->size() != 3) return 0;
  for (size_t at = 0; at < 2; ++at) {
    Node* product = (*elements)[at]->node();
    if (is(product, "aten::Int")) product = argument(product, Arg::Operand)->node();
    if (!is(product, "aten::mul")) continue;
    for (const Arg factor : {Arg::Operand, Arg::Other}) {
      const auto known = held_number(argument(product, factor), owners, self);
      if (known && *known > 0) return *known;
    }
  }
  return 0;
}

/// Where a reshape tells; none where it does not.
std::optional<int64_t> heads_by_reshape(Node* node, bool before_repetition, bool swapped, const Owners& owners,
                                        const Module& self) {
  if (is_any(node, {"aten::view", "aten::reshape", "aten::expand"})) {
    const auto sizes = int_list(argument(node, Arg::Sizes), owners, self);
    const auto size = [&](size_t at) { return sizes[at].value_or(0); };
    if (sizes.size() == 3) {
      if (const int64_t heads = heads_beside_batch(argument(node, Arg::Sizes), owners, self)) return heads;
    }
    if (sizes.size() == 5 && is(node, "aten::expand")) {  // keys repeated for the queries of their group
      if (before_repetition && size(1) > 0) return size(1);
    } else if (sizes.size() == 5) {
      if (size(2) == 3 || size(2) == 2) return std::max<int64_t>(0, size(3));
      if (size(3) == 3 || size(3) == 2) return std::max<int64_t>(0, size(2));
      if (size(2) > 0 && size(3) > 0) return size(2) * size(3);
    } else if (sizes.size() == 4 && !is(node, "aten::expand")) {
      const int64_t heads = size(swapped ? 2 : 1);
      Value* const reshaped = argument(node, Arg::Operand);
      const bool repeats = before_repetition && is(reshaped->node(), "aten::expand");
      if (!repeats && heads > 0) return heads;
      if (!repeats && size(3) > 0) {
        if (const int64_t features = features_of(reshaped, owners, self)) return features / size(3);
      }
    }
  }
  if (is(node, "aten::unflatten")) {
    const auto sizes = int_list(argument(node, Arg::Sizes), owners, self);
    if (sizes.size() == 2) {
      const int64_t heads = sizes[0].value_or(0);
      const int64_t width = sizes[1].value_or(0);
      if ((heads == 2 || heads == 3) && width == 0) return std::nullopt;  // queries, keys and values, of all heads
      if (heads > 0 || width < 1) return std::max<int64_t>(0, heads);
      return features_of(argument(node, Arg::Operand), owners, self) / width;
    }
  }
  return std::nullopt;
}

/// Follows a value back to where its heads are told.
class HeadSearch {
 public:
  HeadSearch(bool before_repetition, const Owners& owners, const Module& self)
      : before_repetition_(before_repetition), owners_(owners), self_(self) {}

  int64_t from(Value* value, bool swapped) {
    while (steps_++ < kMostSteps) {
      Node* node = value->node();
      if (projects(node, owners_)) return 1;
      if (const at::Tensor known = constant_tensor(value); known.defined()) {  // queries that freezing computed
        return known.dim() == 4 ? known.size(swapped ? 2 : 1) : 0;
      }
      if (is_any(node, {"aten::transpose", "aten::permute"})) swapped = true;
      if (const auto heads = heads_by_reshape(node, before_repetition_, swapped, owners_, self_)) return *heads;
      if (is(node, "aten::repeat_interleave") && !before_repetition_) return 0;
      if (node->kind() == torch::jit::prim::If || node->kind() == torch::jit::prim::ListConstruct) {
        return from_any(value, swapped);
      }
      if (!has(node, KeepsHeads)) return 0;
      if (!node->kind().is_prim()) {
        value = worked_on(node, owners_);
        continue;
      }
      const auto next = sources(value, owners_);
      if (next.empty()) return 0;
      value = next.front();
    }
    return 0;
  }

 private:
  static constexpr int kMostSteps = 96;  // over all arms

  /// The first arm that tells, of those that may run; of a cache and what is new the last one, which was projected
  /// here.
  int64_t from_any(Value* value, bool swapped) {
    auto parts = sources(value, owners_);
    if (value->node()->kind() == torch::jit::prim::ListConstruct) std::reverse(parts.begin(), parts.end());
    for (Value* part : parts) {
      if (left_out(part->node(), owners_, self_)) continue;
      if (const int64_t heads = from(part, swapped)) return heads;
    }
    return 0;
  }

  const bool before_repetition_;
  const Owners& owners_;
  const Module& self_;
  int steps_ = 0;
};

}  // namespace

int64_t heads_of(Value* value, bool before_repetition, const Owners& owners, const Module& self) {
  return HeadSearch(before_repetition, owners, self).from(value, false);
}

}  // namespace gaze
