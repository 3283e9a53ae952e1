// SPDX-License-Identifier: MIT
// What a node of a graph is called: the module that holds it, and its line of Python.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// Module path by the call stack; none where it cannot be told.
struct StackName {
  std::optional<std::string> path;
  std::string inner;  ///< source ranges below the last module: equal for two inlinings of one call
};
StackName name_by_stack(const torch::jit::Module& self, torch::jit::Node* node);

/// "file.py:line" of what made a node, of the innermost call that is not torch's own; empty where none is known.
std::string source_of(const torch::jit::Node* node);

/// What a file keeps of a node's place when its modules are gone: the lines that led to it, outermost first, and the
/// file of the innermost module's code that is not torch's own.
struct LeftCalls {
  std::vector<std::string> lines;
  std::string file;
};
LeftCalls left_calls(const torch::jit::Node* node);

/// The module that holds the layers: what stands before the first number in the name.
std::string tower_of(const std::string& name);

}  // namespace gaze
