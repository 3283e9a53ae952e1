// SPDX-License-Identifier: MIT
#include "graph/fused.hpp"

#include <algorithm>
#include <string_view>

#include "graph/arguments.hpp"
#include "graph/walk.hpp"

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// An argument, or what stands for it where the operator has none.
TapInput argument_or(const Node* node, Arg which, c10::IValue otherwise) {
  if (Value* const value = argument(node, which)) return value;
  return otherwise;
}

Recognised seen_at(Node* node, const char* tap) {
  Recognised found;
  found.site.node = node;
  found.site.site.kind = SiteKind::Sdpa;
  found.site.passes = node->outputs()[0];
  found.site.after = node;
  found.site.tap = tap;
  found.q = argument(node, Arg::Query);
  found.k = argument(node, Arg::Key);
  return found;
}

}  // namespace

std::optional<Recognised> recognise_fused(Node* node) {
  const c10::IValue none;
  const c10::IValue no(false);
  if (std::any_of(kFusedAttention.begin(), kFusedAttention.end(), [&](const char* op) { return is(node, op); })) {
    Recognised found = seen_at(node, "gaze::observe");
    if (found.q == nullptr || found.k == nullptr) return std::nullopt;
    found.site.inputs = {found.q, found.k, argument_or(node, Arg::Mask, none), argument_or(node, Arg::Causal, no),
                         argument_or(node, Arg::Scale, none)};
    return found;
  }
  if (is_any(node, {"aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd"})) {
    Recognised found = seen_at(node, "gaze::observe_packed");
    found.packed = {argument(node, Arg::PackedWeight), argument(node, Arg::Heads)};
    if (found.q == nullptr || found.k == nullptr || found.packed->weight == nullptr || found.packed->heads == nullptr)
      return std::nullopt;
    found.site.inputs = {found.q,
                         found.k,
                         found.packed->weight,
                         argument_or(node, Arg::PackedBias, none),
                         found.packed->heads,
                         argument_or(node, Arg::Mask, none),
                         argument_or(node, Arg::MaskType, none),
                         argument_or(node, Arg::NormFirst, no),
                         argument_or(node, Arg::NormWeight, none),
                         argument_or(node, Arg::NormBias, none),
                         argument_or(node, Arg::Epsilon, c10::IValue(1e-5))};
    return found;
  }
  return std::nullopt;
}

bool unknown_by_name(const Node* node) {
  const std::string_view kind = node->kind().toQualString();
  if (kind.rfind("prim::", 0) == 0 || kind.rfind("gaze::", 0) == 0 || node->inputs().size() < 3) return false;
  return kind.find("attention") != std::string_view::npos || kind.find("attn") != std::string_view::npos;
}

}  // namespace gaze
