// SPDX-License-Identifier: MIT
#include "graph/names.hpp"

#include <torch/csrc/jit/ir/scope.h>

#include <algorithm>
#include <regex>
#include <utility>
#include <vector>

#include "graph/module_tree.hpp"

namespace gaze {
namespace {

using torch::jit::Module;
using torch::jit::Node;

bool has_forward(const Module& module) { return module.find_method("forward").has_value(); }

void children_by(const Module& module, const std::string& path, const std::string& name, const c10::ClassTypePtr& type,
                 std::vector<std::pair<std::string, Module>>& found) {
  for (const auto& child : module.named_children()) {
    const std::string child_path = path.empty() ? child.name : path + "." + child.name;
    if (child.name == name && child.value.type() == type) found.emplace_back(child_path, child.value);
    // A call stack leaves containers out: they have no forward.
    if (!has_forward(child.value)) children_by(child.value, child_path, name, type, found);
  }
}

struct Frame {
  std::string line;      // "file.py:line"
  std::string function;  // empty: not known
  bool torch = false;    // its own, which says little
};

bool is_ours(const Frame& frame) { return !frame.torch; }

bool any_ours(const std::vector<Frame>& frames) { return std::any_of(frames.begin(), frames.end(), is_ours); }

/// Of a source range, innermost first; none where it is not known.
std::vector<Frame> frames_of(const torch::jit::SourceRange& range) {
  std::vector<Frame> frames;
  if (!range.source()) return frames;
  const auto original = range.source()->findSourceRangeThatGenerated(range);
  const auto& known = original ? *original : range;
  const auto add = [&](const std::string& path, const std::string& line, const std::string& function) {
    const bool torch = path.find("/torch/") != std::string::npos || path.rfind("torch/", 0) == 0;
    frames.push_back({path.substr(path.rfind('/') + 1) + ":" + line, function, torch});
  };
  // A traced node holds the whole stack, innermost first, as "file.py(line): function".
  static const std::regex kFrame(R"(([^\s(]+\.py)\((\d+)\): (\S*))");
  const std::string stack = known.source() ? known.source()->text_str().str() : "";
  for (auto frame = std::sregex_iterator(stack.begin(), stack.end(), kFrame); frame != std::sregex_iterator();
       ++frame) {
    add((*frame)[1], (*frame)[2], (*frame)[3]);
  }
  const auto location = known.file_line_col();
  if (frames.empty() && location) add(std::get<0>(*location), std::to_string(std::get<1>(*location)), "");
  return frames;
}

/// Of a node, innermost first: what its file keeps, or else the calls that were inlined around it.
std::vector<Frame> frames_of(const Node* node) {
  std::vector<Frame> frames = frames_of(node->sourceRange());
  if (any_ours(frames) || !node->callstack()) return frames;
  auto calls = (*node->callstack())->vec();  // outermost first
  for (auto call = calls.rbegin(); call != calls.rend() && !any_ours(frames); ++call) {
    frames = frames_of(std::get<1>(*call));
  }
  return frames;
}

}  // namespace

StackName name_by_stack(const Module& self, Node* node) {
  StackName result;
  Module module = self;
  std::string path;
  bool resolved = true;
  if (const auto stack = node->callstack()) {
    for (const auto& entry : (*stack)->vec()) {
      const auto& info = std::get<2>(entry);
      result.inner += std::get<1>(entry).str().substr(0, 400) + "|";
      if (!info || info->class_type() == nullptr) continue;  // a free function
      if (info->instance_name() == "SELF" || info->class_type() == module.type()) continue;
      std::vector<std::pair<std::string, Module>> found;
      children_by(module, "", info->instance_name(), info->class_type(), found);
      if (found.size() != 1) {
        resolved = false;
        break;
      }
      // A bare function as a module, nn.Softmax say, is not what holds the attention.
      if (found[0].second.children().size() == 0 && found[0].second.attributes(false).size() <= 2 &&
          info->class_type()->name()->qualifiedName().find("torch.nn.modules") != std::string::npos) {
        continue;
      }
      path = path.empty() ? found[0].first : path + "." + found[0].first;
      module = found[0].second;
      result.inner.clear();
    }
  }
  result.inner += node->sourceRange().str().substr(0, 400);
  if (resolved) result.path = path;
  return result;
}

std::string source_of(const Node* node) {
  const std::vector<Frame> frames = frames_of(node);
  const auto ours = std::find_if(frames.begin(), frames.end(), is_ours);
  return ours == frames.end() ? "" : ours->line;
}

LeftCalls left_calls(const Node* node) {
  LeftCalls left;
  const std::vector<Frame> frames = frames_of(node);
  // A module's own code, not a helper's that many share.
  auto where = std::find_if(frames.begin(), frames.end(),
                            [](const Frame& frame) { return is_ours(frame) && frame.function == "forward"; });
  if (where == frames.end()) where = std::find_if(frames.begin(), frames.end(), is_ours);
  if (where != frames.end()) left.file = where->line.substr(0, where->line.rfind(':'));
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) left.lines.push_back(frame->line);
  return left;
}

std::string tower_of(const std::string& name) {
  size_t start = 0;
  while (start <= name.size()) {
    const size_t end = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, end - start);
    if (part == "*" || (!part.empty() && part.find_first_not_of("0123456789") == std::string::npos)) {
      const std::string before = start == 0 ? "" : name.substr(0, start - 1);
      return parent_path(before);
    }
    start = end + 1;
  }
  return parent_path(parent_path(name));
}

}  // namespace gaze
