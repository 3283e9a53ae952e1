// SPDX-License-Identifier: MIT
#include "graph/attention.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"
#include "graph/products.hpp"
#include "graph/scores.hpp"

namespace gaze {

using torch::jit::Node;
using torch::jit::Value;

namespace {

bool is_softmax(const Value* value) { return is_any(value->node(), {"aten::softmax", "aten::_softmax"}); }

/// A sum or difference of the weights of `root` and those of another softmax.
bool joins_attentions(Node* step, const Value* ours, const Node* root) {
  if (!is_any(step, {"aten::add", "aten::sub", "aten::add_", "aten::sub_"})) return false;
  for (Value* other : step->inputs()) {
    if (other == ours || !is_tensor(other)) continue;
    for (int far = 0; far < 8; ++far) {
      Node* const node = other->node();
      if (is_softmax(other)) return node != root;
      if (node->inputs().empty() || (!has(node, Reshapes) && !has(node, Changes))) break;
      Value* const factor = is_any(node, {"aten::mul", "aten::mul_"}) ? argument(node, Arg::Other) : nullptr;
      other = argument(node, Arg::Operand);
      // Of a product with a number that is a tensor, the other factor.
      if (is_tensor(factor) && !is_softmax(other) && is_softmax(factor)) other = factor;
    }
  }
  return false;
}

/// Whether a step divides by the sum over the axis of the keys.
bool divides_by_key_sum(const Node* step, int64_t key_axis, const GraphAxes& axes) {
  Value* divisor = is_any(step, {"aten::div", "aten::div_"}) ? argument(step, Arg::Other) : nullptr;
  if (!is_tensor(divisor)) return false;
  for (int far = 0; far < 4; ++far) {
    Node* const node = divisor->node();
    if (Value* const summed = is(node, "aten::sum") ? argument(node, Arg::Dim) : nullptr) {
      return axes.only_axis(summed, argument(node, Arg::Operand)) == key_axis;
    }
    if (node->inputs().empty()) return false;
    divisor = argument(node, Arg::Operand);
  }
  return false;
}

/// The last node that changes `value` in place before `reader` reads it.
Node* last_change_in_place(Value* value, Node* reader) {
  Node* last = value->node();
  for (const auto& use : value->uses()) {
    const std::string_view kind = use.user->kind().toQualString();
    const bool in_place =
        used_as(use, Arg::Operand) && kind.size() > 1 && kind.back() == '_' && kind[kind.size() - 2] != '_';
    if (!in_place || has(use.user, Drops) || use.user->owningBlock() != value->node()->owningBlock()) continue;
    if (reader->owningBlock() == use.user->owningBlock() && !use.user->isBefore(reader)) continue;
    if (last->owningBlock() != use.user->owningBlock() || last->isBefore(use.user)) last = use.user;
  }
  return last;
}

/// How a node normalises: which of its output's axes, and on which step of a path the weights are whole at the
/// earliest.
struct Root {
  Value* input = nullptr;
  std::optional<int64_t> axis;
  Value* dim = nullptr;
  enum class Kind { Softmax, LogSoftmax, Exponential } kind = Root::Kind::Softmax;
};

/// Of exp(x) / sum(exp(x)): the axis of the sum.
std::optional<int64_t> divided_by_sum(Node* exponential, const GraphAxes& axes) {
  for (const auto& use : exponential->output()->uses()) {
    if (!is_any(use.user, {"aten::div", "aten::div_", "aten::true_divide"}) || !used_as(use, Arg::Operand)) continue;
    Value* divisor = argument(use.user, Arg::Other);
    for (int step = 0; step < 4 && is_tensor(divisor); ++step) {
      Node* node = divisor->node();
      Value* const summed = is(node, "aten::sum") ? argument(node, Arg::Dim) : nullptr;
      if (summed != nullptr && argument(node, Arg::Operand) == exponential->output()) {
        return axes.only_axis(summed, exponential->output());
      }
      if (node->inputs().empty()) break;
      divisor = argument(node, Arg::Operand);
    }
  }
  return std::nullopt;
}

std::optional<Root> root_of(Node* node, const GraphAxes& axes) {
  Root root;
  if (is_any(node, {"aten::softmax", "aten::_softmax", "aten::_safe_softmax", "aten::special_softmax",
                    "aten::_masked_softmax"})) {
    root.dim = argument(node, Arg::Dim);
  } else if (is_any(node, {"aten::log_softmax", "aten::_log_softmax"})) {
    root.dim = argument(node, Arg::Dim);
    root.kind = Root::Kind::LogSoftmax;
  } else if (is(node, "aten::exp")) {
    root.axis = divided_by_sum(node, axes);
    root.kind = Root::Kind::Exponential;
    if (!root.axis) return std::nullopt;
  } else {
    return std::nullopt;
  }
  root.input = argument(node, Arg::Operand);
  if (root.dim != nullptr) root.axis = axes.from_end(root.dim, node->output());
  return root;
}

/// A path on which the softmax' axis is what the product sums over, and the axes at each of its values.
struct Understood {
  const Path* path = nullptr;
  std::vector<std::pair<Axis, Axis>> key_query;
};

/// @return why not, or "" with `understood` filled
std::string understand(const Path& path, const Root& root, const Owners& owners, const GraphAxes& axes,
                       Understood& understood) {
  if (!path.product.key_axis) return "the product with the values does not say which axis it sums over";
  if (is_parameter(path.product.values, owners)) {
    return "its result is multiplied with a parameter: a gate, a router or an expected value";
  }
  std::vector<std::pair<Axis, Axis>> at(path.values.size());
  at.back() = {Axis::known(*path.product.key_axis),
               path.product.query_axis ? Axis::known(*path.product.query_axis) : Axis()};
  for (size_t i = path.values.size() - 1; i > 0; --i) {
    const auto [key, query] = at[i];
    Value* const out = path.values[i];
    Value* const in = path.values[i - 1];
    at[i - 1].first = key ? axes.before(out, in, key.at, Reshape::KeepsLast) : Axis();
    at[i - 1].second = query ? axes.before(out, in, query.at, Reshape::KeepsLast) : query;
  }
  const Axis key = at.front().first;
  if (!key) return "between the softmax and the product with the values the axis of the keys is lost";
  bool agrees = root.axis && *root.axis == key.at;
  if (!root.axis && root.dim != nullptr) {
    const auto counted = axes.constant(root.dim);  // from the front, of a tensor of unknown rank
    const int64_t rank = counted ? *counted - key.at : 0;
    agrees = !counted || (rank >= 2 && rank <= 5);
  }
  for (size_t i = 1; i < path.values.size() && !agrees; ++i) {  // queries compete for keys, then it is renormalised
    agrees = at[i].first && divides_by_key_sum(path.values[i]->node(), at[i].first.at, axes);
  }
  if (!agrees) return "it is normalised over another axis than the one the product with the values sums over";
  understood = {&path, std::move(at)};
  return "";
}

/// Whether a value lies in a branch or loop inside that of `node`.
bool deeper(const Value* value, const Node* node) {
  for (const torch::jit::Block* outer = node->owningBlock(); outer != nullptr;
       outer = outer->owningNode() != nullptr ? outer->owningNode()->owningBlock() : nullptr) {
    if (outer == value->node()->owningBlock()) return false;
  }
  return true;
}

/// Where on the first path the weights are whole: after the last step that changes the numbers, before the first
/// dropout, before heads or whole attentions are mixed, and before different products take different parts.
size_t tapped_at(const std::vector<Understood>& ways, const Node* root, const GraphAxes& axes) {
  const std::vector<Value*>& values = ways.front().path->values;
  size_t common = values.size();
  for (const Understood& way : ways) {
    size_t same = 0;
    while (same < common && same < way.path->values.size() && way.path->values[same] == values[same]) ++same;
    common = same;
  }
  size_t mixed = common;
  size_t tapped = 0;
  size_t normalised = 0;
  for (size_t i = 1; i < common; ++i) {
    Node* const step = values[i]->node();
    if (has(step, Drops) || has(step, Mixes) || axes.projects(step)) break;
    if (joins_attentions(step, values[i - 1], root)) mixed = std::min(mixed, i);
    if (has(step, Changes)) tapped = i;
    const Axis key = ways.front().key_query[i].first;
    if (key && divides_by_key_sum(step, key.at, axes)) normalised = i;
  }
  // A mixture that is normalised again is the weights; of any other, what scaled its parts belongs to the mixing.
  if (mixed < common && normalised < mixed) return 0;
  // An arm of a branch that changes them: what leaves the branch is there in every case.
  while (tapped + 1 < values.size() && deeper(values[tapped], root)) ++tapped;
  return tapped;
}

}  // namespace

namespace {

/// ScoresBehind of queries and keys that reach a product with values by way of `node`, which is no softmax.
WeightsAt without_softmax(Node* node, const Owners& owners, const GraphAxes& axes) {
  if (!has(node, Weighs)) return {};
  const std::vector<Path> paths = paths_to_products(node->output(), axes, {"aten::rsub", "aten::neg"});
  for (const Path& path : paths) {
    for (const int64_t axis : {-1, -2}) {
      Root root;
      root.axis = axis;
      Understood way;
      if (!understand(path, root, owners, axes, way).empty()) continue;
      if (!scores_behind(argument(node, Arg::Operand), axis, owners, axes).found) continue;
      return WeightsRefused{"scores of queries and keys that reach a product with values without a softmax", true};
    }
  }
  return {};
}

}  // namespace

WeightsAt weights_at(Node* node, const Owners& owners, const GraphAxes& axes) {
  const auto root = root_of(node, axes);
  if (!root) return without_softmax(node, owners, axes);
  const std::vector<Path> paths = paths_to_products(node->output(), axes);
  std::vector<Understood> ways;
  std::string why;
  for (const Path& path : paths) {
    Understood way;
    const std::string refused = understand(path, *root, owners, axes, way);
    if (refused.empty()) {
      ways.push_back(std::move(way));
    } else if (why.empty()) {
      why = refused;
    }
  }
  if (ways.empty()) {
    const ScoresBehind scores = scores_behind(root->input, root->axis, owners, axes);
    if (!scores.found) return WeightsRefused{why, false};
    if (!paths.empty()) return WeightsRefused{"a softmax over a product of queries and keys, but " + why, true};
    if (root->kind != Root::Kind::Softmax) return {};
    return WeightsRefused{"a softmax over a product whose result reaches no product with values", true};
  }
  const Understood& way = ways.front();
  const ScoresBehind scores =
      scores_behind(root->input, root->axis ? *root->axis : way.key_query.front().first.at, owners, axes);
  if (!scores.found) {
    if (scores.keys_are_parameters)
      return WeightsRefused{"its keys are parameters: a gate, a router or a table", false};
    const std::vector<Value*>& values = way.path->values;
    for (size_t i = tapped_at(ways, node, axes); i > 0; --i) {
      if (joins_attentions(values[i]->node(), values[i - 1], node))
        return WeightsRefused{"a table, mixed into the weights of another softmax, which are captured", false};
    }
    return WeightsRefused{"a softmax that feeds a product, but no product of queries and keys was found behind it",
                          true};
  }
  const std::vector<Value*>& values = way.path->values;
  const size_t tapped = tapped_at(ways, node, axes);
  WeightsFound found;
  found.weights = values[tapped];
  const auto [key, query] = way.key_query[tapped];
  found.key_axis = key.at;
  if (query) {
    found.query_axis = query.at;
  } else if (query.state == Axis::State::Lost) {  // a sum of elementwise products does not say: beside the keys
    found.query_axis = key.at == -1 ? -2 : key.at + 1;
  }
  for (size_t i = 1; i <= tapped; ++i) {
    Node* const step = values[i]->node();
    if (divides_by_key_sum(step, way.key_query[i].first.at, axes)) {
      found.partial = false;
    } else if (has(step, Changes) && !is_any(step, {"aten::exp", "aten::nan_to_num", "aten::nan_to_num_"})) {
      found.partial = true;
    }
  }
  Node* const reader = tapped + 1 < values.size() ? values[tapped + 1]->node() : way.path->product.node;
  found.after = last_change_in_place(found.weights, reader);
  found.partial |= found.after != found.weights->node();
  found.q = scores.q;
  found.k = scores.k;
  found.q_features = scores.q_features;
  found.k_axis = scores.k_axis;
  return found;
}

bool over_channels(Value* q, int64_t summed_axis, const Owners& owners, const GraphAxes& axes) {
  Axis at = Axis::known(summed_axis);
  std::unordered_set<Value*> seen;
  while (seen.insert(q).second) {
    Node* const node = q->node();
    if (is_any(node, {"aten::linear", "aten::addmm", "aten::mm"})) return at.at != -1;
    if (is(node, "aten::matmul") && is_parameter(argument(node, Arg::Right), owners)) return at.at != -1;
    if (is_any(node, {"aten::_convolution", "aten::convolution", "aten::conv1d", "aten::conv2d", "aten::conv3d"})) {
      const auto rank = axes.rank(q);
      return rank && at.at != 1 - *rank;
    }
    Value* next = nullptr;
    Axis next_at;
    for (Value* from : sources(q, owners)) {
      if (!is_tensor(from) && from->node()->kind() != torch::jit::prim::ListConstruct &&
          from->type()->kind() != c10::TypeKind::ListType) {
        continue;
      }
      next_at = axes.before(q, from, at.at, Reshape::SplitsFeatures);
      if (next_at && !is_parameter(from, owners)) {
        next = from;
        break;
      }
    }
    if (next == nullptr) return false;
    q = next;
    at = next_at;
  }
  return false;
}

}  // namespace gaze
