// SPDX-License-Identifier: MIT
#include "graph/module_tree.hpp"

#include <algorithm>

namespace gaze {

std::string parent_path(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string common_path(const std::string& a, const std::string& b) {
  std::string result;
  size_t start = 0;
  while (true) {
    const size_t end_a = a.find('.', start);
    const size_t end_b = b.find('.', start);
    if (a.substr(start, end_a - start) != b.substr(start, end_b - start)) return result;
    result = a.substr(0, end_a);
    if (end_a == std::string::npos || end_b == std::string::npos) return result;
    start = end_a + 1;
  }
}

std::string join(const std::string& prefix, const std::string& path) {
  if (prefix.empty()) return path;
  return path.empty() ? prefix : prefix + "." + path;
}

ModuleTree::ModuleTree(const torch::jit::Module& root) : root_(root) { walk(root, ""); }

void ModuleTree::walk(const torch::jit::Module& module, const std::string& path) {
  auto& known = instances_[module.type().get()];
  if (known.empty()) types_.push_back(module.type());
  known.emplace_back(path, module);
  bare_ = bare_ && module.parameters(false).size() == 0;
  for (const auto& child : module.named_children()) walk(child.value, join(path, child.name));
}

std::string ModuleTree::prefix(const c10::ClassTypePtr& type) const {
  const auto& known = instances_.at(type.get());
  std::string path = known.front().first;
  for (const auto& [other, module] : known) {
    // Components that differ between the instances become "*".
    std::string merged;
    size_t a = 0;
    size_t b = 0;
    while (a <= path.size() && b <= other.size()) {
      const size_t end_a = std::min(path.find('.', a), path.size());
      const size_t end_b = std::min(other.find('.', b), other.size());
      const std::string part = path.substr(a, end_a - a);
      if (!merged.empty()) merged += ".";
      merged += part == other.substr(b, end_b - b) ? part : "*";
      a = end_a + 1;
      b = end_b + 1;
    }
    path = merged;
  }
  return path;
}

const torch::jit::Module& ModuleTree::instance(const c10::ClassTypePtr& type) const {
  return instances_.at(type.get()).front().second;
}

const LeftNames& ModuleTree::left_names(const c10::ClassTypePtr& type, const std::function<LeftNames()>& make) const {
  const auto known = left_names_.find(type.get());
  return known != left_names_.end() ? known->second : left_names_.emplace(type.get(), make()).first->second;
}

}  // namespace gaze
