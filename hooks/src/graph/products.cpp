// SPDX-License-Identifier: MIT
#include "graph/products.hpp"
#include "graph/arguments.hpp"
#include "graph/op_traits.hpp"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>

namespace gaze {

using torch::jit::Node;
using torch::jit::Value;

std::optional<Letters> letters_of(const Node* node) {
  const auto equation = constant_text(argument(node, Arg::Equation));
  if (!equation) return std::nullopt;
  std::string text = *equation;
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
  Value* const tensors = argument(node, Arg::Tensors);
  Node* const list = tensors != nullptr ? tensors->node() : nullptr;
  if (list == nullptr || list->kind() != torch::jit::prim::ListConstruct || list->inputs().size() != 2) return nullptr;
  return element(list, index);
}

std::pair<Value*, Value*> factors_of(const Node* node) {
  if (!has(node, Multiplies)) return {};
  return {argument(node, Arg::Left), argument(node, Arg::Right)};
}

/// `operand` in the product `node`, or nothing when the node is none.
std::optional<Product> product_of(Node* node, Value* operand) {
  Product product;
  product.node = node;
  product.weights = operand;
  if (const auto [left, right] = factors_of(node); left != nullptr && right != nullptr) {
    if (left == operand) {
      product.values = right;
      product.key_axis = -1;
      product.query_axis = -2;
    } else if (right == operand) {
      product.values = left;
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

std::optional<SummedProduct> summed_product(const Node* sum, const GraphAxes& axes) {
  if (!is(sum, "aten::sum") || constant_bool(argument(sum, Arg::Keepdim)).value_or(true)) return std::nullopt;
  Node* mul = argument(sum, Arg::Operand)->node();
  if (!is(mul, "aten::mul") || !is_tensor(argument(mul, Arg::Other))) return std::nullopt;
  SummedProduct found{argument(mul, Arg::Operand), argument(mul, Arg::Other), mul->output(), std::nullopt};
  found.axis = axes.only_axis(argument(sum, Arg::Dim), mul->output());
  return found.axis ? std::optional<SummedProduct>(found) : std::nullopt;
}

std::vector<Path> paths_to_products(Value* root, const GraphAxes& axes, Kinds also) {
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
        if (axes.projects(user) && used_as(use, Arg::Left)) follow(user->output(), current);
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
      } else if (has(user, Reshapes) || has(user, Changes) || has(user, Mixes) || has(user, Drops) ||
                 is_any(user, also)) {
        if (is(user, "aten::where") && used_as(use, Arg::Condition)) continue;
        if (is_any(user, {"aten::linear", "aten::conv2d", "aten::_convolution", "aten::masked_fill",
                          "aten::masked_fill_", "aten::slice", "aten::to", "aten::type_as", "aten::expand_as"}) &&
            !used_as(use, Arg::Operand)) {
          continue;
        }
        for (Value* output : user->outputs()) follow(output, current);
      }
    }
  }
  return paths;
}

}  // namespace gaze
