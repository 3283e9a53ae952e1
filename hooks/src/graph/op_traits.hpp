// SPDX-License-Identifier: MIT
// What is known of TorchScript's operators. A new one is a line of the table in op_traits.cpp, and of
// argument_names.hpp for what is asked of it beside its operand.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <cstdint>

namespace gaze {

enum Trait : uint32_t {
  KeepsAxes = 1,          ///< an axis of its result is that axis of its input, counted from the end
  KeepsRank = 2,          ///< its result has as many axes as its first input
  Convolves = 4,          ///< a convolution
  Reduces = 8,            ///< a reduction over axes that it names
  Reshapes = 16,          ///< between a softmax and the product with the values: changes no number
  Changes = 32,           ///< between them too: changes numbers, not which they belong to
  Mixes = 64,             ///< mixes heads, where keys stay apart
  Drops = 128,            ///< a dropout
  Multiplies = 256,       ///< a product of two matrices
  KeepsHeads = 512,       ///< hands a projection on, in another shape or scaled
  KeepsRows = 1024,       ///< keeps a row of the batch the same row
  KeepsParameter = 2048,  ///< what it makes of a parameter is one still
  Shapes = 4096,          ///< shapes or casts a gate
  PassesGate = 8192,      ///< between an attention and the gate that it is multiplied with
  TellsShape = 16384,     ///< tells a size or a type: what it is asked of does not matter
  Weighs = 32768,         ///< makes weights as softmax does, one by one
};

/// All of an operator; 0 of one that is not in the table. Cost: one look-up.
uint32_t traits_of(const torch::jit::Node* node);

/// Whether it has any of them: has(node, Reshapes | Changes).
inline bool has(const torch::jit::Node* node, uint32_t traits) { return (traits_of(node) & traits) != 0; }

}  // namespace gaze
