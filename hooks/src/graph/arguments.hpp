// SPDX-License-Identifier: MIT
// Inputs of nodes, by the names that the schemas of their operators give them: an argument that a release of LibTorch
// adds or moves changes nothing here.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <optional>

#include "graph/argument_names.hpp"

namespace gaze {

/// What a node takes; null when its operator has no such argument, or is not known to have it. What has neither a
/// schema nor a line of the table works on what stands first.
torch::jit::Value* argument(const torch::jit::Node* node, Arg which);

/// Whether that is the argument a value is used as.
bool used_as(const torch::jit::Use& use, Arg which);

/// An input of what has no schema that names it: a tuple, a list, a loop, a fork, a call.
torch::jit::Value* element(const torch::jit::Node* node, size_t at);

/// Where an operator's schema has an argument; nullopt when it has none.
std::optional<size_t> place_of(c10::Symbol op, const c10::FunctionSchema& schema, Arg which);

}  // namespace gaze
