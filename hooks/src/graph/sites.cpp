// SPDX-License-Identifier: MIT
#include "graph/sites.hpp"

#include <torch/csrc/jit/ir/scope.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <unordered_set>

#include "graph/attention.hpp"
#include "graph/axes.hpp"
#include "graph/gates.hpp"
#include "graph/loops.hpp"
#include "graph/torch_compat.hpp"
#include "graph/walk.hpp"

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

/// A fused attention and where its arguments stand; -1: it has none.
struct Fused {
  std::string_view op;
  int mask, causal, scale;
};
constexpr Fused kFused[] = {{"aten::scaled_dot_product_attention", 3, 5, 6},
                            {"aten::_scaled_dot_product_attention_math", 3, 5, 7},
                            {"aten::_scaled_dot_product_flash_attention_for_cpu", 5, 4, 6},
                            {"aten::_scaled_dot_product_flash_attention", -1, 4, 6},
                            {"aten::_scaled_dot_product_efficient_attention", 3, 6, 7},
                            {"aten::_scaled_dot_product_cudnn_attention", 3, 6, 8},
                            {"aten::_scaled_dot_product_fused_attention_overrideable", 3, 5, 7}};

const Fused* fused_of(const Node* node) {
  for (const Fused& fused : kFused) {
    if (is(node, fused.op)) return &fused;
  }
  return nullptr;
}

struct Projection {
  std::string owner;       // module path of the nearest linear-like ancestor
  bool leaf = false;       // it is a layer by itself, else a module with parameters such as in_proj_weight
  Value* input = nullptr;  // what it projects
};

/// Nearest ancestor that multiplies by a parameter.
std::optional<Projection> projection(Value* value, const Owners& owners) {
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  while (!queue.empty()) {
    Value* current = queue.front();
    queue.pop_front();
    Node* node = current->node();
    if (is_any(node, {"aten::linear", "aten::addmm", "aten::matmul", "aten::bmm", "aten::_convolution", "aten::conv1d",
                      "aten::conv2d", "aten::mm"})) {
      for (Value* input : node->inputs()) {
        Value* weight = input;
        while (is_any(weight->node(), {"aten::t", "aten::transpose", "aten::to", "aten::_autocast_to_reduced_precision",
                                       "aten::slice", "aten::select", "aten::unsqueeze", "prim::unchecked_cast"}) &&
               !weight->node()->inputs().empty()) {
          weight = weight->node()->input(0);
        }
        const auto path = attribute_path(weight, owners);
        if (!path || !weight->type()->isSubtypeOf(c10::TensorType::get())) continue;
        Projection found;
        const size_t dot = path->rfind('.');
        found.owner = dot == std::string::npos ? "" : path->substr(0, dot);
        found.leaf = path->substr(dot + 1) == "weight";
        for (Value* other : node->inputs()) {
          if (other != input && other->type()->isSubtypeOf(c10::TensorType::get()) && !attribute_path(other, owners)) {
            found.input = other;
            break;
          }
        }
        return found;
      }
    }
    for (Value* next : sources(current, owners)) {
      if (next->type()->isSubtypeOf(c10::TensorType::get()) ||
          next->node()->kind() == torch::jit::prim::ListConstruct) {
        if (seen.insert(next).second) queue.push_back(next);
      } else if (next->type()->kind() == c10::TypeKind::ListType ||
                 next->type()->kind() == c10::TypeKind::OptionalType) {
        if (seen.insert(next).second) queue.push_back(next);
      }
    }
  }
  return std::nullopt;
}

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

/// Module path by the call stack, and how many stack entries belong to the module that holds the node.
struct StackName {
  std::optional<std::string> path;
  std::string inner;  // source ranges below the last module: equal for two inlinings of one call
};

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

/// "file.py:line" of a source range; empty when it is torch's own, which says little, or not known.
std::string line_of(const torch::jit::SourceRange& range) {
  if (!range.source()) return "";
  const auto original = range.source()->findSourceRangeThatGenerated(range);
  const auto& known = original ? *original : range;
  const auto is_torch = [](const std::string& path) {
    return path.find("/torch/") != std::string::npos || path.rfind("torch/", 0) == 0;
  };
  const auto shown = [](const std::string& path, const std::string& line) {
    return path.substr(path.rfind('/') + 1) + ":" + line;
  };
  // A traced node holds the whole stack, innermost first, as "file.py(line): function".
  static const std::regex kFrame(R"(([^\s(]+\.py)\((\d+)\): )");
  const std::string stack = known.source() ? known.source()->text_str().str() : "";
  for (auto frame = std::sregex_iterator(stack.begin(), stack.end(), kFrame); frame != std::sregex_iterator();
       ++frame) {
    if (!is_torch((*frame)[1])) return shown((*frame)[1], (*frame)[2]);
  }
  const auto location = known.file_line_col();
  if (!location || is_torch(std::get<0>(*location))) return "";
  return shown(std::get<0>(*location), std::to_string(std::get<1>(*location)));
}

std::string source_of(const Node* node) {
  std::string line = line_of(node->sourceRange());
  if (!line.empty() || !node->callstack()) return line;
  auto calls = (*node->callstack())->vec();  // outermost first
  for (auto call = calls.rbegin(); call != calls.rend() && line.empty(); ++call) line = line_of(std::get<1>(*call));
  return line;
}

/// Rows of the matrix that projects a value, as many as it has features; 0 when it is not known.
int64_t features_of(Value* value, const Owners& owners, const Module& self) {
  int64_t pieces = 1;  // that a projection was cut into on the way
  for (int step = 0; step < 8; ++step) {
    Node* node = value->node();
    if (is_any(node, {"aten::linear", "aten::addmm"})) {
      Value* weight = node->input(is(node, "aten::linear") ? 1 : 2);
      const bool transposed = is(weight->node(), "aten::t");
      const auto tensor = parameter(transposed ? weight->node()->input(0) : weight, owners, self);
      if (!tensor.defined() || tensor.dim() != 2) return 0;
      return tensor.size(is(node, "aten::addmm") && !transposed ? 1 : 0) / pieces;
    }
    if (is(node, "aten::chunk")) {
      const auto chunks = constant_int(node->input(1), owners, self);
      if (!chunks || *chunks < 1) return 0;
      pieces *= *chunks;
    } else if (node->inputs().empty() ||
               !is_any(node, {"aten::mul", "aten::view", "aten::reshape", "aten::to", "aten::clamp", "prim::ListUnpack",
                              "aten::contiguous", "aten::layer_norm", "aten::_autocast_to_reduced_precision"})) {
      return 0;
    }
    value = node->input(0);
  }
  return 0;
}

/// Queries or keys of [b, h, n, d]: their heads, from the reshape that splits the projection. 1 where nothing splits
/// it, 0 where the graph does not say.
int64_t heads_of(Value* value, bool before_repetition, const Owners& owners, const Module& self) {
  static const Kinds kKeeps = {"aten::dropout",
                               "aten::to",
                               "aten::type_as",
                               "aten::float",
                               "aten::mul",
                               "aten::div",
                               "aten::add",
                               "aten::sub",
                               "aten::neg",
                               "aten::contiguous",
                               "aten::clone",
                               "aten::detach",
                               "aten::select",
                               "aten::slice",
                               "aten::squeeze",
                               "aten::unsqueeze",
                               "aten::transpose",
                               "aten::permute",
                               "aten::movedim",
                               "aten::expand",
                               "aten::view",
                               "aten::reshape",
                               "aten::flatten",
                               "aten::unflatten",
                               "aten::cat",
                               "aten::unbind",
                               "aten::chunk",
                               "aten::split",
                               "aten::rms_norm",
                               "aten::layer_norm",
                               "aten::div_",
                               "aten::mul_",
                               "aten::_autocast_to_reduced_precision",
                               "aten::_autocast_to_full_precision",
                               "prim::ListConstruct",
                               "prim::ListUnpack",
                               "prim::unchecked_cast",
                               "aten::repeat_interleave",
                               "aten::split_with_sizes",
                               "aten::pow",
                               "aten::masked_fill"};
  bool swapped = false;
  for (int step = 0; step < 24; ++step) {
    Node* node = value->node();
    if (is_any(node, {"aten::linear", "aten::addmm", "aten::conv1d", "aten::conv2d", "aten::_convolution"})) return 1;
    if (is_any(node, {"aten::transpose", "aten::permute"})) swapped = true;
    if (is_any(node, {"aten::view", "aten::reshape", "aten::expand"})) {
      const auto sizes = int_list(node->input(1), owners, self);
      const auto size = [&](size_t at) { return sizes[at].value_or(0); };
      if (sizes.size() == 5 && is(node, "aten::expand")) {  // keys repeated for the queries of their group
        if (before_repetition && size(1) > 0) return size(1);
      } else if (sizes.size() == 5) {
        if (size(2) == 3 || size(2) == 2) return std::max<int64_t>(0, size(3));
        if (size(3) == 3 || size(3) == 2) return std::max<int64_t>(0, size(2));
        if (size(2) > 0 && size(3) > 0) return size(2) * size(3);
      } else if (sizes.size() == 4 && !is(node, "aten::expand")) {
        const int64_t heads = size(swapped ? 2 : 1);
        const bool repeats = before_repetition && is(node->input(0)->node(), "aten::expand");
        if (!repeats && heads > 0) return heads;
        if (!repeats && size(3) > 0) {
          if (const int64_t features = features_of(node->input(0), owners, self)) return features / size(3);
        }
      }
    }
    if (is(node, "aten::unflatten")) {
      const auto sizes = int_list(node->input(2), owners, self);
      if (sizes.size() == 2) {
        const int64_t heads = sizes[0].value_or(0);
        const int64_t width = sizes[1].value_or(0);
        return heads > 0 || width < 1 ? std::max<int64_t>(0, heads) : features_of(node->input(0), owners, self) / width;
      }
    }
    if (is(node, "aten::repeat_interleave") && !before_repetition) return 0;
    const auto next =
        is_any(node, kKeeps) || node->kind() == torch::jit::prim::If ? sources(value, owners) : std::vector<Value*>();
    if (next.empty()) return 0;
    // Of a cache and what is new, the new part was projected here.
    value = node->kind() == torch::jit::prim::ListConstruct ? next.back() : next.front();
  }
  return 0;
}

/// Names of the tensor arguments of the method that a value depends on; sizes and types do not count.
std::vector<std::string> arguments_behind(Value* value, const Owners& owners, const torch::jit::Graph& graph) {
  static const Kinds kShapes = {"aten::size",  "aten::len",       "aten::dim",       "aten::zeros_like",
                                "aten::zeros", "aten::ones_like", "aten::full_like", "aten::arange",
                                "prim::dtype", "prim::device",    "aten::new_zeros", "aten::empty_like"};
  std::set<size_t> found;
  std::vector<Value*> stack{value};
  std::unordered_set<Value*> seen{value};
  while (!stack.empty()) {
    Value* const current = stack.back();
    stack.pop_back();
    Node* const node = current->node();
    if (node == const_cast<torch::jit::Graph&>(graph).param_node()) {
      if (current->offset() > 0 && current->type()->kind() != c10::TypeKind::IntType) found.insert(current->offset());
      continue;
    }
    if (is_any(node, kShapes)) continue;
    for (Value* next : sources(current, owners)) {
      if (seen.insert(next).second) stack.push_back(next);
    }
  }
  std::vector<std::string> names;
  for (const size_t at : found) {
    std::string name = graph.inputs()[at]->debugName();
    const size_t dot = name.find_last_not_of("0123456789");
    if (dot != std::string::npos && dot + 1 < name.size() && name[dot] == '.') name.resize(dot);  // "x.1"
    names.push_back(name);
  }
  return names;
}

/// Two values that the same ops make from the same values: a traced module adds positions once for q, once for k.
bool same_value(Value* a, Value* b, int depth = 0) {
  if (a == b) return true;
  Node* const x = a->node();
  Node* const y = b->node();
  if (depth > 6 || x->kind() != y->kind() || a->offset() != b->offset() || x->inputs().size() != y->inputs().size()) {
    return false;
  }
  if (x->kind() == torch::jit::prim::Constant) {
    const auto left = torch::jit::toIValue(a);
    const auto right = torch::jit::toIValue(b);
    return left && right && !left->isTensor() && left->type()->kind() == right->type()->kind() && *left == *right;
  }
  if (x->kind() == torch::jit::prim::GetAttr && x->s(torch::jit::attr::name) != y->s(torch::jit::attr::name))
    return false;
  if (x->inputs().empty() || !x->blocks().empty()) return false;
  for (size_t i = 0; i < x->inputs().size(); ++i) {
    if (!same_value(x->input(i), y->input(i), depth + 1)) return false;
  }
  return true;
}

/// The module that holds the layers: what stands before the first number in the name.
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

bool exclusive(Node* a, Node* b) {
  std::map<Node*, Block*> arms;
  for (Block* block = a->owningBlock(); block != nullptr;
       block = block->owningNode() ? block->owningNode()->owningBlock() : nullptr) {
    if (block->owningNode() && block->owningNode()->kind() == torch::jit::prim::If) arms[block->owningNode()] = block;
  }
  for (Block* block = b->owningBlock(); block != nullptr;
       block = block->owningNode() ? block->owningNode()->owningBlock() : nullptr) {
    const auto found = block->owningNode() ? arms.find(block->owningNode()) : arms.end();
    if (found != arms.end() && found->second != block) return true;
  }
  return false;
}

std::string join(const std::string& prefix, const std::string& path) {
  if (prefix.empty()) return path;
  return path.empty() ? prefix : prefix + "." + path;
}

}  // namespace

ModuleTree::ModuleTree(const Module& root) : root_(root) { walk(root, ""); }

void ModuleTree::walk(const Module& module, const std::string& path) {
  auto& known = instances_[module.type().get()];
  if (known.empty()) types_.push_back(module.type());
  known.emplace_back(path, module);
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

const Module& ModuleTree::instance(const c10::ClassTypePtr& type) const {
  return instances_.at(type.get()).front().second;
}

void inline_forks(torch::jit::Graph& graph) {
  each_node(graph.block(), [](Node* node) {
    if (!node->hasAttribute(torch::jit::attr::Subgraph)) return;
    // Copies of a graph share their subgraphs: without an own copy the file's graph() would change.
    node->g_(torch::jit::attr::Subgraph, node->g(torch::jit::attr::Subgraph)->copy());
    torch::jit::Inline(*node->g(torch::jit::attr::Subgraph));
  });
}

namespace {

/// What a node is to capture: the tap it takes, its queries and its keys.
struct Recognised {
  FoundSite site;
  Value* q = nullptr;
  Value* k = nullptr;
  int64_t q_features = -1;
};

/// The argument `at` of a fused op, or a constant where it has none.
TapInput argument(Node* node, int at, c10::IValue otherwise) {
  if (at >= 0 && static_cast<size_t>(at) < node->inputs().size()) return node->input(static_cast<size_t>(at));
  return otherwise;
}

std::optional<Recognised> recognise_fused(Node* node) {
  Recognised found;
  FoundSite& site = found.site;
  site.node = node;
  site.site.kind = "sdpa";
  site.after = node;
  if (const Fused* fused = fused_of(node)) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe";
    found.q = node->input(0);
    found.k = node->input(1);
    site.inputs = {node->input(0), node->input(1), argument(node, fused->mask, c10::IValue()),
                   argument(node, fused->causal, c10::IValue(false)), argument(node, fused->scale, c10::IValue())};
    return found;
  }
  if (is(node, "aten::_native_multi_head_attention")) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe_packed";
    found.q = node->input(0);
    found.k = node->input(1);
    site.inputs = {node->input(0), node->input(1), node->input(5),   node->input(6),
                   node->input(4), node->input(9), node->input(12),  c10::IValue(false),
                   c10::IValue(),  c10::IValue(),  c10::IValue(1e-5)};
    return found;
  }
  if (is(node, "aten::_transformer_encoder_layer_fwd")) {
    site.passes = node->outputs()[0];
    site.tap = "gaze::observe_packed";
    found.q = found.k = node->input(0);
    site.inputs = {node->input(0),  node->input(0), node->input(3),  node->input(4),  node->input(2), node->input(18),
                   node->input(19), node->input(8), node->input(10), node->input(11), node->input(9)};
    return found;
  }
  return std::nullopt;
}

/// Attention by name that no tap knows.
bool unknown_by_name(const Node* node) {
  const std::string_view kind = node->kind().toQualString();
  if (kind.rfind("prim::", 0) == 0 || kind.rfind("gaze::", 0) == 0 || node->inputs().size() < 3) return false;
  return kind.find("attention") != std::string_view::npos || kind.find("attn") != std::string_view::npos;
}

}  // namespace

std::vector<FoundSite> find_in_graph(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown) {
  const Owners owners = owners_of(*method.graph);
  const std::string prefix = tree.prefix(method.type);
  const Module& self = tree.instance(method.type);
  const GraphAxes axes(*method.graph, owners, self);
  std::vector<FoundSite> found;
  std::vector<std::string> inner;  // parallel to found
  int64_t nameless = 0;
  const auto not_understood = [&](const Node* node, std::string why) {
    if (unknown != nullptr) unknown->push_back({node->kind().toQualString(), std::move(why), source_of(node)});
  };
  each_node(method.graph->block(), [&](Node* node) {
    auto recognised = recognise_fused(node);
    bool partial = false;
    if (!recognised) {
      const WeightsAt at = weights_at(node, owners, axes);
      if (const auto* refused = std::get_if<WeightsRefused>(&at)) {
        if (refused->report) not_understood(node, refused->why);
        return;
      }
      const auto* weights = std::get_if<WeightsFound>(&at);
      if (weights == nullptr) {
        if (unknown_by_name(node)) not_understood(node, "an attention operator whose queries and keys are not known");
        return;
      }
      recognised = Recognised{};
      recognised->site.node = node;
      recognised->site.site.kind = "softmax";
      recognised->site.passes = weights->weights;
      recognised->site.after = weights->after;
      recognised->site.tap = "gaze::tap";
      recognised->site.inputs = {c10::IValue(weights->query_axis), c10::IValue(weights->key_axis)};
      recognised->q = weights->q;
      recognised->k = weights->k;
      recognised->q_features = weights->q_features;
      recognised->site.key_axis = weights->k_axis;
      partial = weights->partial;
    }
    FoundSite& site = recognised->site;
    site.site.source = source_of(node);
    Value* const q = recognised->q;
    Value* const k = recognised->k;
    site.keys = k;
    const bool packed = site.tap == std::string_view("gaze::observe_packed");
    const auto q_from = projection(q, owners);
    const auto k_from = projection(k, owners);
    site.site.q_reads = arguments_behind(q, owners, *method.graph);
    site.site.k_reads = arguments_behind(k, owners, *method.graph);
    site.site.relation = "unknown";
    if (packed) {
      site.site.relation = same_value(q, k) ? "self" : "cross";
    } else if (q_from && k_from && q_from->input != nullptr && k_from->input != nullptr) {
      site.site.relation = same_value(q_from->input, k_from->input) ? "self" : "cross";
    } else if (site.site.q_reads != site.site.k_reads) {
      site.site.relation = "cross";
    }
    if (packed) {
      site.site.heads = axes.constant(std::get<Value*>(site.inputs[4])).value_or(0);
      site.site.kv_heads = site.site.heads;
    } else {
      site.site.heads = heads_of(q, false, owners, self);
      site.site.kv_heads = heads_of(k, true, owners, self);
      site.site.channels = over_channels(q, recognised->q_features, owners, axes);
    }
    if (site.tap == std::string_view("gaze::tap")) {
      site.inputs.emplace_back(c10::IValue(site.site.heads));
      site.inputs.emplace_back(c10::IValue(partial));
    }

    const StackName stack = name_by_stack(self, node);
    std::string chain;
    if (q_from && k_from) {
      chain = common_path(parent_path(q_from->owner), parent_path(k_from->owner));
      if (q_from->owner == k_from->owner && !q_from->leaf) chain = q_from->owner;
    }
    const bool in_fork = owners.count(node->owningGraph()) != 0;
    std::string name = stack.path && !stack.path->empty() && !in_fork ? *stack.path : chain;
    if (packed) {  // a whole layer may be one operator: the projection's owner is the attention
      const auto weight = attribute_path(std::get<Value*>(site.inputs[2]), owners);
      if (weight) name = parent_path(*weight);
    }
    name = join(prefix, name);
    if (name.empty() && !q_from)
      name = "attention" + std::to_string(nameless++) + (site.site.source.empty() ? "" : "@" + site.site.source);
    if (name.empty()) name = "attention";

    // The arms of a branch are one call; a second call elsewhere in the module gets an ordinal.
    int64_t ordinal = 1;
    bool repeated = false;
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string base = found[i].site.name.substr(0, found[i].site.name.find('#'));
      if (base != name) continue;
      if (inner[i] == stack.inner || exclusive(found[i].node, node)) {
        site.site.name = found[i].site.name;
        repeated = true;
        break;
      }
      ++ordinal;
    }
    if (!repeated) {
      std::set<std::string> taken;
      for (const auto& other : found) taken.insert(other.site.name);
      site.site.name = name;
      while (taken.count(site.site.name) != 0) site.site.name = name + "#" + std::to_string(ordinal++);
    }
    site.site.tower = tower_of(site.site.name);
    site.site.gate = gate_of(site.passes, owners, self);
    site.site.gathers_rows = rows_are_gathered(node, owners);
    found.push_back(site);
    inner.push_back(stack.inner);
  });
  return found;
}

namespace {

/// The cross-attention of another tower, whose first queries are parameters, when `site` reads what that read and more.
template <typename Cross, typename Fused>
std::vector<std::string> between(const Site& site, const std::vector<Site>& sites, Cross&& cross, Fused&& fused) {
  std::vector<std::string> names;
  if (site.channels || site.relation != "self" || !fused(site)) return names;
  const auto reads = [&](const std::string& name) {
    return std::find(site.k_reads.begin(), site.k_reads.end(), name) != site.k_reads.end();
  };
  const auto latents = std::find_if(sites.begin(), sites.end(), [&](const Site& other) {
    return !other.channels && cross(other) && other.tower != site.tower && other.q_reads.empty() &&
           !other.k_reads.empty() && std::all_of(other.k_reads.begin(), other.k_reads.end(), reads);
  });
  if (latents == sites.end()) return names;
  for (const Site& other : sites) {
    if (cross(other) && other.tower == latents->tower) names.push_back(other.name);
  }
  return names;
}

}  // namespace

void propose(std::vector<Site>& sites) {
  const auto any = [&](auto&& holds) {
    return std::any_of(sites.begin(), sites.end(), [&](const Site& site) { return !site.channels && holds(site); });
  };
  const auto cross = [](const Site& site) { return site.relation == "cross"; };
  // Masks and positions say which keys there are, not what they hold.
  const auto content = [](const std::string& name) {
    return name.find("mask") == std::string::npos && name.find("position") == std::string::npos;
  };
  const auto fused = [&](const Site& site) {
    return std::count_if(site.k_reads.begin(), site.k_reads.end(), content) > 1;
  };
  for (Site& site : sites) site.through = between(site, sites, cross, fused);
  const bool any_through = any([](const Site& site) { return !site.through.empty(); });
  const bool any_cross = any(cross);
  const bool any_fused = any(fused);
  for (Site& site : sites) {
    site.proposed = !site.channels && (any_through ? !site.through.empty()
                                       : any_cross ? cross(site)
                                       : any_fused ? fused(site)
                                                   : true);
  }
}

SiteReport find_sites(const Module& module) {
  SiteReport report;
  try {
    const OptimiseGraphs optimise;
    const ModuleTree tree(module);
    std::map<std::string, size_t> index;
    std::set<std::string> reported;
    for (const auto& type : tree.types()) {
      // Methods of submodules hold what is reached without inlining, through an interface, and what a host calls
      // directly.
      const bool root = type == module.type();
      for (torch::jit::Function* method : type->methods()) {
        auto* function = torch::jit::tryToGraphFunction(*method);
        if (function == nullptr) continue;
        auto graph = function->graph()->copy();
        torch::jit::Inline(*graph);
        inline_forks(*graph);
        torch::jit::ConstantPropagation(graph);  // arms that are never taken, axes that are computed
        std::vector<Unknown> unknown;
        const std::string called = join(tree.prefix(type), method->name());
        for (auto& found : find_in_graph(tree, {type, method->name(), graph, root}, &unknown)) {
          if (found.site.name.find('*') != std::string::npos)
            continue;  // a layer of many: its instances are named above
          const auto [at, added] = index.emplace(found.site.name, report.sites.size());
          if (added) report.sites.push_back(found.site);
          auto& methods = report.sites[at->second].methods;
          if ((root || added) && std::find(methods.begin(), methods.end(), called) == methods.end())
            methods.push_back(called);
        }
        for (const auto& entry : unknown) {
          if (reported.insert(entry.source + entry.what + entry.why).second) report.unknown.push_back(entry);
        }
      }
    }
  } catch (const std::exception& error) {
    throw Error(std::string("find_sites: expected a TorchScript module whose graphs can be inlined, got: ") +
                error.what());
  }
  // A helper that returns its weights is understood where it is called.
  std::erase_if(report.unknown, [&](const Unknown& entry) {
    return std::any_of(report.sites.begin(), report.sites.end(),
                       [&](const Site& site) { return !entry.source.empty() && site.source == entry.source; });
  });
  propose(report.sites);
  return report;
}

}  // namespace gaze
