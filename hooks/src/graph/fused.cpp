// SPDX-License-Identifier: MIT
#include "graph/fused.hpp"

#include <string_view>

#include "graph/walk.hpp"

namespace gaze {
namespace {

using torch::jit::Node;

/// A fused attention and where its arguments stand; -1: it has none.
struct Fused {
  std::string_view op;
  int mask, causal, scale;
};
constexpr Fused kFused[] = {{"aten::scaled_dot_product_attention", 3, 5, 6},
                            {"aten::_scaled_dot_product_attention_math", 3, 5, 7},
                            {"aten::_scaled_dot_product_flash_attention_for_cpu", 5, 4, 6},
                            {"aten::_scaled_dot_product_flash_attention", -1, 4, 6},
                            {"aten::_scaled_dot_product_efficient_attention", 3, 6, 7},
                            {"aten::_scaled_dot_product_cudnn_attention", 3, 6, 8},
                            {"aten::_scaled_dot_product_fused_attention_overrideable", 3, 5, 7}};

const Fused* fused_of(const Node* node) {
  for (const Fused& fused : kFused) {
    if (is(node, fused.op)) return &fused;
  }
  return nullptr;
}

/// The argument `at` of a fused op, or a constant where it has none.
TapInput argument(Node* node, int at, c10::IValue otherwise) {
  if (at >= 0 && static_cast<size_t>(at) < node->inputs().size()) return node->input(static_cast<size_t>(at));
  return otherwise;
}

}  // namespace

std::optional<Recognised> recognise_fused(Node* node) {
  Recognised found;
  FoundSite& site = found.site;
  site.node = node;
  site.site.kind = "sdpa";
  site.after = node;
  if (const Fused* fused = fused_of(node)) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe";
    found.q = node->input(0);
    found.k = node->input(1);
    site.inputs = {node->input(0), node->input(1), argument(node, fused->mask, c10::IValue()),
                   argument(node, fused->causal, c10::IValue(false)), argument(node, fused->scale, c10::IValue())};
    return found;
  }
  if (is(node, "aten::_native_multi_head_attention")) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe_packed";
    found.q = node->input(0);
    found.k = node->input(1);
    site.inputs = {node->input(0), node->input(1), node->input(5),   node->input(6),
                   node->input(4), node->input(9), node->input(12),  c10::IValue(false),
                   c10::IValue(),  c10::IValue(),  c10::IValue(1e-5)};
    return found;
  }
  if (is(node, "aten::_transformer_encoder_layer_fwd")) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe_packed";
    found.q = found.k = node->input(0);
    site.inputs = {node->input(0),  node->input(0), node->input(3),  node->input(4),  node->input(2), node->input(18),
                   node->input(19), node->input(8), node->input(10), node->input(11), node->input(9)};
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
