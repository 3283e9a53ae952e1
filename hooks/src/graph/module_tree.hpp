// SPDX-License-Identifier: MIT
// Which instances of which types a module holds, and paths among them.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graph/left_names.hpp"

namespace gaze {

/// Of the sites of a type whose paths freezing took away, by what tells each of them in every copy of its graph.
using LeftNames = std::map<std::string, LeftName>;

/// The module tree: which instances a type has.
class ModuleTree {
 public:
  explicit ModuleTree(const torch::jit::Module& root);
  [[nodiscard]] const torch::jit::Module& root() const { return root_; }
  /// Distinct types of the tree, root first.
  [[nodiscard]] const std::vector<c10::ClassTypePtr>& types() const { return types_; }
  /// Instance path of a type: "" for the root, "a.b" for a single instance, "layers.*" where several share the type.
  [[nodiscard]] std::string prefix(const c10::ClassTypePtr& type) const;
  /// A module of that type.
  [[nodiscard]] const torch::jit::Module& instance(const c10::ClassTypePtr& type) const;
  /// What `make` says of a type, which is asked once.
  [[nodiscard]] const LeftNames& left_names(const c10::ClassTypePtr& type,
                                            const std::function<LeftNames()>& make) const;
  /// No parameter is left in any module, as after freezing.
  [[nodiscard]] bool bare() const { return bare_; }

 private:
  void walk(const torch::jit::Module& module, const std::string& path);
  torch::jit::Module root_;
  std::vector<c10::ClassTypePtr> types_;
  std::unordered_map<const c10::ClassType*, std::vector<std::pair<std::string, torch::jit::Module>>> instances_;
  bool bare_ = true;
  mutable std::unordered_map<const c10::ClassType*, LeftNames> left_names_;
};

/// "a.b" and "c": "a.b.c"; either may be empty.
std::string join(const std::string& prefix, const std::string& path);
/// "a.b.c": "a.b"; "" of what has no parent.
std::string parent_path(const std::string& path);
/// What both begin with, in whole components.
std::string common_path(const std::string& a, const std::string& b);

}  // namespace gaze
