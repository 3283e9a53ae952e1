// SPDX-License-Identifier: MIT
#include "graph/scores.hpp"

#include <deque>
#include <string>
#include <unordered_set>

#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"
#include "graph/products.hpp"

namespace gaze {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// Breadth first, from the normalised value back to a comparison.
class ScoreSearch {
 public:
  ScoreSearch(const Owners& owners, const GraphAxes& axes) : owners_(owners), axes_(axes) {}

  ScoresBehind from(Value* value, std::optional<int64_t> key_axis) {
    go_on({value, key_axis ? Axis::known(*key_axis) : Axis(), Between::Nothing});
    while (!queue_.empty() && !scores_.found) {
      const At at = queue_.front();
      queue_.pop_front();
      if (!compares(at)) look_behind(at);
    }
    return scores_;
  }

 private:
  /// What lies between: nothing that mixes, a mixing of heads, or a small network, behind which only a sum of queries
  /// and keys can stand.
  enum class Between { Nothing, Mixing, Network };
  struct At {
    Value* value;
    Axis key;
    Between between;
  };

  void go_on(const At& at) {
    if (seen_.insert(at.value).second) queue_.push_back(at);
  }

  void take(Value* q, Value* k, int64_t q_features, int64_t k_axis) {
    scores_.compared = true;
    if (is_parameter(k, owners_)) {
      scores_.keys_are_parameters = true;
      return;
    }
    scores_.q = q;
    scores_.k = k;
    scores_.q_features = q_features;
    scores_.k_axis = k_axis;
    scores_.found = true;
  }

  /// Whether the node is a product that ends the way there, understood or not.
  bool compares(const At& at) {
    Node* const node = at.value->node();
    if (at.between == Between::Network) {
      sum_of_queries_and_keys(at);
      return scores_.found;
    }
    if (has(node, Multiplies)) {
      matrix_product(at);
    } else if (is(node, "aten::linear")) {
      project(at, argument(node, Arg::Operand));
    } else if (is(node, "aten::einsum")) {
      einsum(at);
    } else if (const auto sum = summed_product(node, axes_); sum && at.key) {
      summed(at, *sum);
    } else {
      return false;
    }
    return true;
  }

  /// By a parameter: its features are no positions.
  void project(const At& at, Value* input) {
    if (at.key && at.key.at == -1) {
      scores_.keys_are_parameters = true;
    } else if (at.key) {
      go_on({input, at.key, Between::Mixing});
    }
  }

  void matrix_product(const At& at) {
    const auto [a, b] = factors_of(at.value->node());
    if (a == nullptr || b == nullptr) return;
    if (is_parameter(b, owners_)) return project(at, a);
    // Where the axis was lost, scores are taken to be as most are.
    const int64_t key = at.key ? at.key.at : -1;
    if (key == -1) take(a, b, -1, -1);
    if (key == -2) take(b, a, -2, -2);
  }

  void einsum(const At& at) {
    Node* const node = at.value->node();
    Value* const a = einsum_operand(node, 0);
    Value* const b = einsum_operand(node, 1);
    const auto letters = letters_of(node);
    if (a == nullptr || !letters) return;
    std::string key_letter;
    if (at.key && static_cast<size_t>(-at.key.at) <= letters->out.size()) {
      key_letter = letters->out.substr(letters->out.size() - static_cast<size_t>(-at.key.at), 1);
    }
    const bool in_a = !key_letter.empty() && letters->a.find(key_letter) != std::string::npos;
    const bool in_b = !key_letter.empty() && letters->b.find(key_letter) != std::string::npos;
    if (in_a && in_b) return;
    Value* const k = in_a ? a : b;
    Value* const q = in_a ? b : a;
    if (q == b && is_parameter(q, owners_)) return;
    int64_t features = -1;
    const std::string& of_q = in_a ? letters->b : letters->a;
    const std::string& of_k = in_a ? letters->a : letters->b;
    for (const char letter : of_q) {
      if (of_k.find(letter) != std::string::npos && letters->out.find(letter) == std::string::npos) {
        features = axis_of(of_q, letter).value_or(-1);
      }
    }
    const auto keys = key_letter.empty() ? std::nullopt : axis_of(of_k, key_letter.front());
    take(q, k, features, keys.value_or(-2));
  }

  /// Whether an operand was given a new axis where the other one has its keys.
  bool widened(Value* operand, int64_t axis) const {
    Node* made = operand->node();
    if (!is(made, "aten::unsqueeze")) return false;
    return axes_.before(operand, argument(made, Arg::Operand), axis, Reshape::KeepsLast).state == Axis::State::New;
  }

  void summed(const At& at, const SummedProduct& sum) {
    const Axis inside = axes_.before(at.value, sum.product, at.key.at, Reshape::KeepsLast);
    if (!inside) return;
    const Axis in_a = axes_.before(sum.product, sum.a, inside.at, Reshape::KeepsLast);
    const Axis in_b = axes_.before(sum.product, sum.b, inside.at, Reshape::KeepsLast);
    // The axis of the keys is as wide as they are in one operand, and 1 in the other.
    const bool a_is_query = in_a.state == Axis::State::New || widened(sum.a, inside.at);
    const bool b_is_query = in_b.state == Axis::State::New || widened(sum.b, inside.at);
    if (a_is_query == b_is_query) return;
    const Axis in_k = a_is_query ? in_b : in_a;
    take(a_is_query ? sum.a : sum.b, a_is_query ? sum.b : sum.a, *sum.axis, in_k ? in_k.at : inside.at);
  }

  void sum_of_queries_and_keys(const At& at) {
    Node* const node = at.value->node();
    if (!is(node, "aten::add") || !is_tensor(argument(node, Arg::Other))) return;
    Value* const a = argument(node, Arg::Operand);
    Value* const b = argument(node, Arg::Other);
    const bool a_is_query = widened(a, at.key.at);
    if (a_is_query == widened(b, at.key.at)) return;
    take(a_is_query ? a : b, a_is_query ? b : a, -1, at.key.at);
  }

  void look_behind(const At& at) {
    Node* const node = at.value->node();
    if (is_any(node, {"aten::softmax", "aten::_softmax", "aten::embedding", "aten::layer_norm"})) return;
    const bool boundary = is_any(node, {"prim::Param", "prim::If", "prim::Loop"});
    const bool reshapes = has(node, Reshapes) || boundary ||
                          (is_any(node, {"aten::mul", "aten::div"}) && !is_tensor(argument(node, Arg::Other)));
    const Between between = at.between == Between::Mixing && !reshapes ? Between::Network : at.between;
    for (Value* next : sources(at.value, owners_)) {
      if (next == at.value) continue;
      const bool list = next->node()->kind() == torch::jit::prim::ListConstruct;
      if (!is_tensor(next) && !list) continue;
      const Axis key = at.key ? axes_.before(at.value, next, at.key.at, Reshape::KeepsLast) : Axis();
      if (key.state == Axis::State::New) continue;  // a bias without keys
      if (!key && !boundary && at.key) continue;
      go_on({next, key, between});
    }
  }

  const Owners& owners_;
  const GraphAxes& axes_;
  ScoresBehind scores_;
  std::deque<At> queue_;
  std::unordered_set<Value*> seen_;
};

}  // namespace

ScoresBehind scores_behind(Value* value, std::optional<int64_t> key_axis, const Owners& owners, const GraphAxes& axes) {
  return ScoreSearch(owners, axes).from(value, key_axis);
}

}  // namespace gaze
