// SPDX-License-Identifier: MIT
// Products of two tensors in a graph, in the forms that attention comes in, and the ways from a value to them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/axes.hpp"
#include "graph/walk.hpp"

namespace gaze {

/// One product, seen from one of its operands.
struct Product {
  torch::jit::Node* node = nullptr;
  torch::jit::Value* weights = nullptr;  // the operand the weights arrive in
  torch::jit::Value* values = nullptr;   // the other one
  std::optional<int64_t> key_axis;       // of `weights`: what is summed over
  std::optional<int64_t> query_axis;     // of `weights`: kept, and not the values'
};

/// Letters of an einsum's operands and result; nullopt when the equation is not known or not explicit.
struct Letters {
  std::string a, b, out;
};

std::optional<Letters> letters_of(const torch::jit::Node* node);
/// Of the letters of one operand that which is an axis, counted from the end.
std::optional<int64_t> axis_of(const std::string& letters, char letter);
torch::jit::Value* einsum_operand(const torch::jit::Node* node, size_t index);

/// The factors of a product of matrices; nulls of what is none.
std::pair<torch::jit::Value*, torch::jit::Value*> factors_of(const torch::jit::Node* node);

/// Where `node` is a product of which `operand` is one.
std::optional<Product> product_of(torch::jit::Node* node, torch::jit::Value* operand);

/// A sum over one axis of an elementwise product: the product, and which axis of it is summed.
struct SummedProduct {
  torch::jit::Value* a = nullptr;
  torch::jit::Value* b = nullptr;
  torch::jit::Value* product = nullptr;
  std::optional<int64_t> axis;
};

std::optional<SummedProduct> summed_product(const torch::jit::Node* sum, const GraphAxes& axes);

/// From the softmax to a product: the values on the way, the product, and the operand's axes.
struct Path {
  std::vector<torch::jit::Value*> values;  // [0] is the softmax' output, the last one the operand
  Product product;
};

/// @param also  operators that may be passed beside those that reshape, change, mix or drop
std::vector<Path> paths_to_products(torch::jit::Value* root, const GraphAxes& axes, Kinds also = {});

}  // namespace gaze
