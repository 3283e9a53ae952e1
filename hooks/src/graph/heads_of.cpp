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

/// Rows of the matrix that projects a value, as many as it has features; 0 when it is not known.
int64_t features_of(Value* value, const Owners& owners, const Module& self) {
  int64_t pieces = 1;  // that a projection was cut into on the way
  for (int step = 0; step < 8; ++step) {
    Node* node = value->node();
    if (is_any(node, {"aten::linear", "aten::addmm"})) {
      Value* const weight = argument(node, Arg::Weight);
      if (weight == nullptr) return 0;
      const bool transposed = is(weight->node(), "aten::t");
      const auto tensor = parameter(transposed ? argument(weight->node(), Arg::Operand) : weight, owners, self);
      if (!tensor.defined() || tensor.dim() != 2) return 0;
      return tensor.size(is(node, "aten::addmm") && !transposed ? 1 : 0) / pieces;
    }
    if (is(node, "aten::chunk")) {
      const auto chunks = constant_int(argument(node, Arg::Chunks), owners, self);
      if (!chunks || *chunks < 1) return 0;
      pieces *= *chunks;
    } else if (node->inputs().empty() ||
               !is_any(node, {"aten::mul", "aten::view", "aten::reshape", "aten::to", "aten::clamp", "prim::ListUnpack",
                              "aten::contiguous", "aten::layer_norm", "aten::_autocast_to_reduced_precision"})) {
      return 0;
    }
    value = argument(node, Arg::Operand);
  }
  return 0;
}

/// Where a reshape tells; none where it does not.
std::optional<int64_t> heads_by_reshape(Node* node, bool before_repetition, bool swapped, const Owners& owners,
                                        const Module& self) {
  if (is_any(node, {"aten::view", "aten::reshape", "aten::expand"})) {
    const auto sizes = int_list(argument(node, Arg::Sizes), owners, self);
    const auto size = [&](size_t at) { return sizes[at].value_or(0); };
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
      if (heads > 0 || width < 1) return std::max<int64_t>(0, heads);
      return features_of(argument(node, Arg::Operand), owners, self) / width;
    }
  }
  return std::nullopt;
}

}  // namespace

int64_t heads_of(Value* value, bool before_repetition, const Owners& owners, const Module& self) {
  bool swapped = false;
  for (int step = 0; step < 24; ++step) {
    Node* node = value->node();
    if (is_any(node, {"aten::linear", "aten::addmm", "aten::conv1d", "aten::conv2d", "aten::_convolution"})) return 1;
    if (is_any(node, {"aten::transpose", "aten::permute"})) swapped = true;
    if (const auto heads = heads_by_reshape(node, before_repetition, swapped, owners, self)) return *heads;
    if (is(node, "aten::repeat_interleave") && !before_repetition) return 0;
    if (!has(node, KeepsHeads) && node->kind() != torch::jit::prim::If) return 0;
    if (!node->kind().is_prim()) {
      value = argument(node, Arg::Operand);
      continue;
    }
    const auto next = sources(value, owners);
    if (next.empty()) return 0;
    // Of a cache and what is new, the new part was projected here.
    value = node->kind() == torch::jit::prim::ListConstruct ? next.back() : next.front();
  }
  return 0;
}

}  // namespace gaze
