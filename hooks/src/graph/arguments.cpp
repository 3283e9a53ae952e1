// SPDX-License-Identifier: MIT
#include "graph/arguments.hpp"

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Value;
using Names = std::vector<std::pair<Arg, std::string>>;

const std::unordered_map<c10::Symbol, Names>& names_by_op() {
  static const auto* all = [] {
    auto* made = new std::unordered_map<c10::Symbol, Names>;  // leaked: asked until the very end
    for (const ArgumentName& row : kArgumentNames) {
      for (const char* op : row.ops) (*made)[c10::Symbol::fromQualString(op)].emplace_back(row.which, row.name);
    }
    return made;
  }();
  return *all;
}

/// Of what a node takes by name; nullopt where it has no schema, or none with such an argument.
std::optional<size_t> place_in(const Node* node, Arg which) {
  if (node->kind().is_prim()) return std::nullopt;
  const c10::FunctionSchema* const schema = node->maybeSchema();
  return schema == nullptr ? std::nullopt : place_of(node->kind(), *schema, which);
}

}  // namespace

std::optional<size_t> place_of(c10::Symbol op, const c10::FunctionSchema& schema, Arg which) {
  const auto named = [&](const std::string& name) -> std::optional<size_t> {
    const auto at = schema.argumentIndexWithName(name);
    return at ? std::optional<size_t>(static_cast<size_t>(*at)) : std::nullopt;
  };
  if (which == Arg::Operand) {
    static const std::string kUsual[] = {"self", "input"};
    for (const std::string& name : kUsual) {
      if (const auto at = named(name)) return at;
    }
  }
  const auto found = names_by_op().find(op);
  if (found == names_by_op().end()) return std::nullopt;
  for (const auto& [is_asked, name] : found->second) {
    if (is_asked != which) continue;
    if (const auto at = named(name)) return at;
  }
  return std::nullopt;
}

Value* argument(const Node* node, Arg which) {
  if (const auto at = place_in(node, which)) return node->input(*at);
  return which == Arg::Operand && !node->inputs().empty() ? node->input(0) : nullptr;
}

bool used_as(const torch::jit::Use& use, Arg which) {
  if (const auto at = place_in(use.user, which)) return use.offset == *at;
  return which == Arg::Operand && use.offset == 0;
}

Value* element(const Node* node, size_t at) {
  TORCH_INTERNAL_ASSERT(node->kind().is_prim(), node->kind().toQualString(), " takes its inputs by name");
  return node->input(at);
}

}  // namespace gaze
