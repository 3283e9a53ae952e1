// SPDX-License-Identifier: MIT
#include "graph/attention.hpp"

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace gaze {

using torch::jit::Node;
using torch::jit::Value;

namespace {

const Kinds kMatrixProducts = {"aten::matmul", "aten::bmm", "aten::baddbmm", "aten::mm"};
const Kinds kDropouts = {"aten::dropout", "aten::dropout_", "aten::feature_dropout", "aten::alpha_dropout",
                         "aten::bernoulli"};
// What lies between a softmax and the product with the values. Some of it changes the numbers.
const Kinds kReshapes = {"aten::view",
                         "aten::reshape",
                         "aten::_unsafe_view",
                         "aten::contiguous",
                         "aten::unsqueeze",
                         "aten::squeeze",
                         "aten::expand",
                         "aten::expand_as",
                         "aten::transpose",
                         "aten::permute",
                         "aten::swapaxes",
                         "aten::t",
                         "aten::mT",
                         "aten::movedim",
                         "aten::flatten",
                         "aten::unflatten",
                         "aten::clone",
                         "aten::detach",
                         "aten::to",
                         "aten::type_as",
                         "aten::float",
                         "aten::half",
                         "aten::double",
                         "aten::alias",
                         "prim::unchecked_cast",
                         "gaze::tap",
                         "aten::_autocast_to_reduced_precision",
                         "aten::_autocast_to_full_precision"};
const Kinds kChanges = {"aten::masked_fill",
                        "aten::masked_fill_",
                        "aten::where",
                        "aten::mul",
                        "aten::mul_",
                        "aten::div",
                        "aten::div_",
                        "aten::add",
                        "aten::add_",
                        "aten::sub",
                        "aten::sub_",
                        "aten::nan_to_num",
                        "aten::slice",
                        "aten::narrow",
                        "aten::clamp",
                        "aten::clamp_",
                        "aten::clamp_min",
                        "aten::clamp_max",
                        "aten::maximum",
                        "aten::exp",
                        "aten::nan_to_num_",
                        "aten::pow",
                        "aten::constant_pad_nd",
                        "aten::pad",
                        "aten::masked_scatter"};

const Kinds kMixes = {"aten::linear", "aten::_convolution", "aten::conv2d"};  // heads, where keys stay apart

/// A sum or difference of the weights of `root` and those of another softmax.
bool joins_attentions(Node* step, const Value* ours, const Node* root) {
  if (!is_any(step, {"aten::add", "aten::sub", "aten::add_", "aten::sub_"})) return false;
  for (Value* other : step->inputs()) {
    if (other == ours || !is_tensor(other)) continue;
    for (int far = 0; far < 8; ++far) {
      Node* const node = other->node();
      if (is_any(node, {"aten::softmax", "aten::_softmax"})) return node != root;
      if (node->inputs().empty() || (!is_any(node, kReshapes) && !is_any(node, kChanges))) break;
      size_t next = 0;  // of a product with a number that is a tensor, the other factor
      if (is_any(node, {"aten::mul", "aten::mul_"}) && is_tensor(node->input(1)) &&
          !is_any(node->input(0)->node(), {"aten::softmax", "aten::_softmax"})) {
        next = is_any(node->input(1)->node(), {"aten::softmax", "aten::_softmax"}) ? 1 : 0;
      }
      other = node->input(next);
    }
  }
  return false;
}

/// Whether a step divides by the sum over the axis of the keys.
bool divides_by_key_sum(const Node* step, int64_t key_axis, const GraphAxes& axes) {
  if (!is_any(step, {"aten::div", "aten::div_"}) || !is_tensor(step->input(1))) return false;
  Value* divisor = step->input(1);
  for (int far = 0; far < 4; ++far) {
    Node* const node = divisor->node();
    if (is(node, "aten::sum") && node->inputs().size() >= 3) {
      return axes.only_axis(node->input(1), node->input(0)) == key_axis;
    }
    if (node->inputs().empty()) return false;
    divisor = node->input(0);
  }
  return false;
}

/// One product, seen from one of its operands.
struct Product {
  Node* node = nullptr;
  Value* weights = nullptr;           // the operand the weights arrive in
  Value* values = nullptr;            // the other one
  std::optional<int64_t> key_axis;    // of `weights`: what is summed over
  std::optional<int64_t> query_axis;  // of `weights`: kept, and not the values'
};

/// Letters of an einsum's operands and result; nullopt when the equation is not known or not explicit.
struct Letters {
  std::string a, b, out;
};

std::optional<Letters> letters_of(const Node* node) {
  const auto equation = torch::jit::toIValue(node->input(0));
  if (!equation || !equation->isString()) return std::nullopt;
  std::string text = equation->toStringRef();
  for (size_t dots = text.find("..."); dots != std::string::npos; dots = text.find("...")) text.replace(dots, 3, ".");
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  const size_t comma = text.find(',');
  const size_t arrow = text.find("->");
  if (comma == std::string::npos || text.find(',', comma + 1) != std::string::npos) return std::nullopt;
  if (arrow == std::string::npos) return std::nullopt;
  return Letters{text.substr(0, comma), text.substr(comma + 1, arrow - comma - 1), text.substr(arrow + 2)};
}

std::optional<int64_t> axis_of(const std::string& letters, char letter) {
  const size_t at = letters.rfind(letter);
  const size_t dots = letters.rfind('.');
  if (at == std::string::npos || (dots != std::string::npos && at < dots)) return std::nullopt;
  return static_cast<int64_t>(at) - static_cast<int64_t>(letters.size());
}

Value* einsum_operand(const Node* node, size_t index) {
  Node* list = node->input(1)->node();
  if (list->kind() != torch::jit::prim::ListConstruct || list->inputs().size() != 2) return nullptr;
  return list->input(index);
}

/// `operand` in the product `node`, or nothing when the node is none.
std::optional<Product> product_of(Node* node, Value* operand) {
  Product product;
  product.node = node;
  product.weights = operand;
  if (is_any(node, kMatrixProducts)) {
    const size_t first = is(node, "aten::baddbmm") ? 1 : 0;
    if (node->input(first) == operand) {
      product.values = node->input(first + 1);
      product.key_axis = -1;
      product.query_axis = -2;
    } else if (node->input(first + 1) == operand) {
      product.values = node->input(first);
      product.key_axis = -2;
      product.query_axis = -1;
    } else {
      return std::nullopt;
    }
    return product;
  }
  if (is(node, "aten::einsum")) {
    Value* const a = einsum_operand(node, 0);
    Value* const b = einsum_operand(node, 1);
    if (a == nullptr || (operand != a && operand != b)) return std::nullopt;
    product.values = operand == a ? b : a;
    const auto letters = letters_of(node);
    if (!letters) return product;
    const std::string& mine = operand == a ? letters->a : letters->b;
    const std::string& theirs = operand == a ? letters->b : letters->a;
    for (const char letter : mine) {
      const bool shared = theirs.find(letter) != std::string::npos;
      const bool kept = letters->out.find(letter) != std::string::npos;
      if (shared && !kept) product.key_axis = axis_of(mine, letter);
      if (!shared && kept) product.query_axis = axis_of(mine, letter);
    }
    return product;
  }
  return std::nullopt;
}

/// A sum over one axis of an elementwise product: the product, and which axis of it is summed.
struct SummedProduct {
  Value* a = nullptr;
  Value* b = nullptr;
  Value* product = nullptr;
  std::optional<int64_t> axis;
};

std::optional<SummedProduct> summed_product(const Node* sum, const GraphAxes& axes) {
  if (!is(sum, "aten::sum") || sum->inputs().size() < 3) return std::nullopt;
  const auto keep = torch::jit::toIValue(sum->input(2));
  if (!keep || !keep->isBool() || keep->toBool()) return std::nullopt;
  Node* mul = sum->input(0)->node();
  if (!is(mul, "aten::mul") || !is_tensor(mul->input(1))) return std::nullopt;
  SummedProduct found{mul->input(0), mul->input(1), mul->output(), std::nullopt};
  found.axis = axes.only_axis(sum->input(1), mul->output());
  return found.axis ? std::optional<SummedProduct>(found) : std::nullopt;
}

/// From the softmax to a product: the values on the way, the product, and the operand's axes.
struct Path {
  std::vector<Value*> values;  // [0] is the softmax' output, the last one the operand
  Product product;
};

std::vector<Path> paths_to_products(Value* root, const GraphAxes& axes, const Kinds& also = {}) {
  constexpr int kLongest = 16;
  std::unordered_map<Value*, Value*> parent{{root, nullptr}};
  std::unordered_map<Value*, int> steps{{root, 0}};
  std::deque<Value*> queue{root};
  std::vector<Path> paths;
  const auto follow = [&](Value* next, Value* from) {
    const int far = steps.at(from) + 1;
    if (!is_tensor(next) || far > kLongest || !parent.emplace(next, from).second) return;
    steps[next] = far;
    queue.push_back(next);
  };
  const auto arrive = [&](Product product) {
    Path path;
    path.product = product;
    for (Value* at = product.weights; at != nullptr; at = parent.at(at)) path.values.insert(path.values.begin(), at);
    paths.push_back(std::move(path));
  };
  while (!queue.empty()) {
    Value* const current = queue.front();
    queue.pop_front();
    for (const auto& use : current->uses()) {
      Node* const user = use.user;
      if (const auto product = product_of(user, current)) {
        arrive(*product);
      } else if (user->kind() == torch::jit::prim::ListConstruct) {
        for (const auto& other : user->output()->uses()) {
          if (const auto product = product_of(other.user, current)) arrive(*product);
        }
      } else if (user->kind() == torch::jit::prim::Return) {
        Node* const owner = user->owningBlock()->owningNode();
        if (owner == nullptr) continue;
        const size_t skip = owner->kind() == torch::jit::prim::Loop ? 1 : 0;
        if (use.offset >= skip && use.offset - skip < owner->outputs().size()) {
          follow(owner->output(use.offset - skip), current);
        }
      } else if (const auto sum = summed_product(user, axes)) {
        // `current` is the product already: its operand is one step back.
        Value* const operand = parent.at(current);
        if (operand == nullptr || (operand != sum->a && operand != sum->b)) continue;
        // Without an axis of the values' own it is a sum of the weights themselves.
        if (!is(operand->node(), "aten::unsqueeze")) continue;
        Product product{user, operand, operand == sum->a ? sum->b : sum->a, std::nullopt, std::nullopt};
        const Axis summed = axes.before(sum->product, operand, *sum->axis, Reshape::KeepsLast);
        if (!summed) continue;
        product.key_axis = summed.at;
        arrive(product);
      } else if (is_any(user, kReshapes) || is_any(user, kChanges) || is_any(user, kMixes) || is_any(user, kDropouts) ||
                 is_any(user, also)) {
        if (is(user, "aten::where") && use.offset == 0) continue;
        if (is_any(user, {"aten::linear", "aten::conv2d", "aten::_convolution", "aten::masked_fill",
                          "aten::masked_fill_", "aten::slice", "aten::to", "aten::type_as", "aten::expand_as"}) &&
            use.offset != 0) {
          continue;
        }
        for (Value* output : user->outputs()) follow(output, current);
      }
    }
  }
  return paths;
}

/// Queries and keys of the scores behind a normalisation.
struct Scores {
  Value* q = nullptr;
  Value* k = nullptr;
  int64_t q_features = -1;
  int64_t k_axis = -2;  ///< the axis of k that the keys lie along
  bool keys_are_parameters = false;
  bool found = false;
  bool compared = false;  ///< some product lies behind, understood or not
};

Scores scores_behind(Value* value, std::optional<int64_t> key_axis, const Owners& owners, const GraphAxes& axes) {
  // What lies between: nothing that mixes, a mixing of heads, or a small network, behind which only a sum of queries
  // and keys can stand.
  enum class Between { Nothing, Mixing, Network };
  struct At {
    Value* value;
    Axis key;
    Between between;
  };
  Scores scores;
  std::deque<At> queue{{value, key_axis ? Axis::known(*key_axis) : Axis(), Between::Nothing}};
  std::unordered_set<Value*> seen{value};
  const auto take = [&](Value* q, Value* k, int64_t q_features, int64_t k_axis) {
    scores.compared = true;
    if (is_parameter(k, owners)) {
      scores.keys_are_parameters = true;
      return false;
    }
    scores.q = q;
    scores.k = k;
    scores.q_features = q_features;
    scores.k_axis = k_axis;
    return scores.found = true;
  };
  while (!queue.empty()) {
    const At at = queue.front();
    queue.pop_front();
    Node* const node = at.value->node();
    const bool network = at.between == Between::Network;
    if (is_any(node, kMatrixProducts) && !network) {
      const size_t first = is(node, "aten::baddbmm") ? 1 : 0;
      Value* const a = node->input(first);
      Value* const b = node->input(first + 1);
      if (is_parameter(b, owners)) {  // a projection: its features are no positions
        if (at.key && at.key.at == -1) {
          scores.keys_are_parameters = true;
          continue;
        }
        if (at.key && seen.insert(a).second) queue.push_back({a, at.key, Between::Mixing});
        continue;
      }
      // Where the axis was lost, scores are taken to be as most are.
      const int64_t key = at.key ? at.key.at : -1;
      if (key == -1 && take(a, b, -1, -1)) return scores;
      if (key == -2 && take(b, a, -2, -2)) return scores;
      continue;
    }
    if (is(node, "aten::linear") && !network) {
      scores.keys_are_parameters |= at.key && at.key.at == -1;
      if (at.key && at.key.at != -1 && seen.insert(node->input(0)).second) {
        queue.push_back({node->input(0), at.key, Between::Mixing});
      }
      continue;
    }
    if (is(node, "aten::einsum") && !network) {
      Value* const a = einsum_operand(node, 0);
      Value* const b = einsum_operand(node, 1);
      const auto letters = letters_of(node);
      if (a == nullptr || !letters) continue;
      std::string key_letter;
      if (at.key && static_cast<size_t>(-at.key.at) <= letters->out.size()) {
        key_letter = letters->out.substr(letters->out.size() - static_cast<size_t>(-at.key.at), 1);
      }
      const bool in_a = !key_letter.empty() && letters->a.find(key_letter) != std::string::npos;
      const bool in_b = !key_letter.empty() && letters->b.find(key_letter) != std::string::npos;
      if (in_a && in_b) continue;
      Value* const k = in_a ? a : b;
      Value* const q = in_a ? b : a;
      if (q == b && is_parameter(q, owners)) continue;
      int64_t features = -1;
      const std::string& of_q = in_a ? letters->b : letters->a;
      const std::string& of_k = in_a ? letters->a : letters->b;
      for (const char letter : of_q) {
        if (of_k.find(letter) != std::string::npos && letters->out.find(letter) == std::string::npos) {
          features = axis_of(of_q, letter).value_or(-1);
        }
      }
      const auto keys = key_letter.empty() ? std::nullopt : axis_of(of_k, key_letter.front());
      if (take(q, k, features, keys.value_or(-2))) return scores;
      continue;
    }
    if (const auto sum = summed_product(node, axes); sum && at.key && !network) {
      const Axis inside = axes.before(at.value, sum->product, at.key.at, Reshape::KeepsLast);
      if (!inside) continue;
      const Axis in_a = axes.before(sum->product, sum->a, inside.at, Reshape::KeepsLast);
      const Axis in_b = axes.before(sum->product, sum->b, inside.at, Reshape::KeepsLast);
      // The axis of the keys is as wide as they are in one operand, and 1 in the other.
      const auto widened = [&](Value* operand) {
        Node* made = operand->node();
        if (!is(made, "aten::unsqueeze")) return false;
        return axes.before(operand, made->input(0), inside.at, Reshape::KeepsLast).state == Axis::State::New;
      };
      const bool a_is_query = in_a.state == Axis::State::New || widened(sum->a);
      const bool b_is_query = in_b.state == Axis::State::New || widened(sum->b);
      const Axis in_k = a_is_query ? in_b : in_a;
      if (a_is_query != b_is_query &&
          take(a_is_query ? sum->a : sum->b, a_is_query ? sum->b : sum->a, *sum->axis, in_k ? in_k.at : inside.at)) {
        return scores;
      }
      continue;
    }
    if (network && is(node, "aten::add") && is_tensor(node->input(1))) {
      const auto widened = [&](Value* operand) {
        Node* made = operand->node();
        if (!is(made, "aten::unsqueeze")) return false;
        return axes.before(operand, made->input(0), at.key.at, Reshape::KeepsLast).state == Axis::State::New;
      };
      const bool a = widened(node->input(0));
      const bool b = widened(node->input(1));
      if (a != b && take(node->input(a ? 0 : 1), node->input(a ? 1 : 0), -1, at.key.at)) return scores;
    }
    if (is_any(node, {"aten::softmax", "aten::_softmax", "aten::embedding", "aten::layer_norm"})) continue;
    const bool reshapes = is_any(node, kReshapes) || is_any(node, {"prim::Param", "prim::If", "prim::Loop"}) ||
                          (is_any(node, {"aten::mul", "aten::div"}) && !is_tensor(node->input(1)));
    const Between between = at.between == Between::Mixing && !reshapes ? Between::Network : at.between;
    for (Value* next : sources(at.value, owners)) {
      if (next == at.value) continue;
      const bool list = next->node()->kind() == torch::jit::prim::ListConstruct;
      if (!is_tensor(next) && !list) continue;
      Axis key = at.key ? axes.before(at.value, next, at.key.at, Reshape::KeepsLast) : Axis();
      if (key.state == Axis::State::New) continue;  // a bias without keys
      const bool boundary = is_any(node, {"prim::Param", "prim::If", "prim::Loop"});
      if (!key && !boundary && at.key) continue;
      if (seen.insert(next).second) queue.push_back({next, key, between});
    }
  }
  return scores;
}

/// The last node that changes `value` in place before `reader` reads it.
Node* last_change_in_place(Value* value, Node* reader) {
  Node* last = value->node();
  for (const auto& use : value->uses()) {
    const std::string_view kind = use.user->kind().toQualString();
    const bool in_place = use.offset == 0 && kind.size() > 1 && kind.back() == '_' && kind[kind.size() - 2] != '_';
    if (!in_place || is_any(use.user, kDropouts) || use.user->owningBlock() != value->node()->owningBlock()) continue;
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
    if (!is_any(use.user, {"aten::div", "aten::div_", "aten::true_divide"}) || use.offset != 0) continue;
    Value* divisor = use.user->input(1);
    for (int step = 0; step < 4 && is_tensor(divisor); ++step) {
      Node* node = divisor->node();
      if (is(node, "aten::sum") && node->input(0) == exponential->output() && node->inputs().size() >= 3) {
        return axes.only_axis(node->input(1), exponential->output());
      }
      if (node->inputs().empty()) break;
      divisor = node->input(0);
    }
  }
  return std::nullopt;
}

std::optional<Root> root_of(Node* node, const GraphAxes& axes) {
  Root root;
  if (is_any(node, {"aten::softmax", "aten::_softmax", "aten::_safe_softmax", "aten::special_softmax"})) {
    root.dim = node->input(1);
  } else if (is(node, "aten::_masked_softmax")) {
    root.dim = node->input(2);
  } else if (is_any(node, {"aten::log_softmax", "aten::_log_softmax"})) {
    root.dim = node->input(1);
    root.kind = Root::Kind::LogSoftmax;
  } else if (is(node, "aten::exp")) {
    root.axis = divided_by_sum(node, axes);
    root.kind = Root::Kind::Exponential;
    if (!root.axis) return std::nullopt;
  } else {
    return std::nullopt;
  }
  root.input = node->input(0);
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
    if (is_any(step, kDropouts) || is_any(step, kMixes)) break;
    if (joins_attentions(step, values[i - 1], root)) mixed = std::min(mixed, i);
    if (is_any(step, kChanges)) tapped = i;
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

/// Scores of queries and keys that reach a product with values by way of `node`, which is no softmax.
WeightsAt without_softmax(Node* node, const Owners& owners, const GraphAxes& axes) {
  static const Kinds kOthers = {"aten::sigmoid", "aten::relu", "aten::relu_", "aten::softplus", "aten::elu",
                                "aten::acos",    "aten::gelu", "aten::silu",  "aten::square",   "aten::tanh"};
  if (!is_any(node, kOthers)) return {};
  const std::vector<Path> paths = paths_to_products(node->output(), axes, {"aten::rsub", "aten::neg"});
  for (const Path& path : paths) {
    for (const int64_t axis : {-1, -2}) {
      Root root;
      root.axis = axis;
      Understood way;
      if (!understand(path, root, owners, axes, way).empty()) continue;
      if (!scores_behind(node->input(0), axis, owners, axes).found) continue;
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
    const Scores scores = scores_behind(root->input, root->axis, owners, axes);
    if (!scores.found) return WeightsRefused{why, false};
    if (!paths.empty()) return WeightsRefused{"a softmax over a product of queries and keys, but " + why, true};
    if (root->kind != Root::Kind::Softmax) return {};
    return WeightsRefused{"a softmax over a product whose result reaches no product with values", true};
  }
  const Understood& way = ways.front();
  const Scores scores =
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
    } else if (is_any(step, kChanges) && !is_any(step, {"aten::exp", "aten::nan_to_num", "aten::nan_to_num_"})) {
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
    if (is(node, "aten::matmul") && is_parameter(node->input(1), owners)) return at.at != -1;
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
