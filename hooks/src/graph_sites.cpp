// SPDX-License-Identifier: MIT
#include "graph_sites.hpp"

#include <torch/csrc/jit/ir/scope.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

bool is_any(const Node* node, const std::vector<const char*>& kinds) {
  const char* kind = node->kind().toQualString();
  return std::any_of(kinds.begin(), kinds.end(), [kind](const char* k) { return std::string_view(k) == kind; });
}

// Ops that carry a matrix of weights or scores on without mixing keys. Autocast's casts are among them.
const std::vector<const char*> kCarries = {"aten::dropout",
                                           "aten::dropout_",
                                           "aten::feature_dropout",
                                           "aten::to",
                                           "aten::type_as",
                                           "aten::float",
                                           "aten::_autocast_to_reduced_precision",
                                           "aten::_autocast_to_full_precision",
                                           "prim::unchecked_cast",
                                           "aten::masked_fill",
                                           "aten::masked_fill_",
                                           "aten::where",
                                           "aten::mul",
                                           "aten::mul_",
                                           "aten::div",
                                           "aten::div_",
                                           "aten::add",
                                           "aten::add_",
                                           "aten::sub",
                                           "aten::view",
                                           "aten::reshape",
                                           "aten::contiguous",
                                           "aten::unsqueeze",
                                           "aten::squeeze",
                                           "aten::expand",
                                           "aten::transpose",
                                           "aten::permute",
                                           "aten::clone",
                                           "aten::detach",
                                           "aten::nan_to_num",
                                           "aten::slice",
                                           "aten::clamp",
                                           "aten::flatten",
                                           "aten::unflatten",
                                           "aten::movedim",
                                           "aten::maximum",
                                           "aten::max",
                                           "aten::_softmax",
                                           "gaze::tap"};
const std::vector<const char*> kProducts = {"aten::matmul", "aten::bmm", "aten::baddbmm", "aten::einsum"};

void each_node(Block* block, const std::function<void(Node*)>& visit) {
  for (Node* node : block->nodes()) {
    visit(node);
    for (Block* inner : node->blocks()) each_node(inner, visit);
    if (node->hasAttribute(torch::jit::attr::Subgraph)) each_node(node->g(torch::jit::attr::Subgraph)->block(), visit);
  }
}

/// Which fork (or other node with a subgraph) a subgraph belongs to, so that values can be followed out of it.
using Owners = std::unordered_map<const torch::jit::Graph*, Node*>;

Owners owners_of(torch::jit::Graph& graph) {
  Owners owners;
  each_node(graph.block(), [&](Node* node) {
    if (node->hasAttribute(torch::jit::attr::Subgraph)) owners[node->g(torch::jit::attr::Subgraph).get()] = node;
  });
  return owners;
}

/// The values a value comes from: through If, Loop and fork boundaries to the inputs of its node.
std::vector<Value*> sources(Value* value, const Owners& owners) {
  Node* node = value->node();
  std::vector<Value*> result;
  if (node->kind() == torch::jit::prim::Param) {
    Node* owner = node->owningBlock()->owningNode();
    if (owner == nullptr) {  // a graph's input: of a fork's body or of the method
      const auto found = owners.find(node->owningGraph());
      if (found != owners.end() && value->offset() < found->second->inputs().size()) {
        result.push_back(found->second->input(value->offset()));
      }
    } else if (owner->kind() == torch::jit::prim::Loop && value->offset() >= 1) {
      result.push_back(owner->input(value->offset() + 1));  // inputs: max trip, condition, carried values
    }
    return result;
  }
  if (node->kind() == torch::jit::prim::If || node->kind() == torch::jit::prim::Loop) {
    for (Block* block : node->blocks()) {
      const size_t at = value->offset() + (node->kind() == torch::jit::prim::Loop ? 1 : 0);
      if (at < block->outputs().size()) result.push_back(block->outputs()[at]);
    }
    if (node->kind() == torch::jit::prim::Loop) result.push_back(node->input(value->offset() + 2));
    return result;
  }
  const bool unpacks = node->kind() == torch::jit::prim::TupleUnpack || node->kind() == torch::jit::prim::ListUnpack;
  if (unpacks && value->offset() < node->input(0)->node()->inputs().size() &&
      is_any(node->input(0)->node(), {"prim::TupleConstruct", "prim::ListConstruct"})) {
    return {node->input(0)->node()->input(value->offset())};  // its own element, not the others'
  }
  for (Value* input : node->inputs()) result.push_back(input);
  return result;
}

/// The uses of a value, through block returns to the outputs of the owning node.
void each_use(Value* value, const std::function<void(Node*, size_t)>& visit) {
  for (const auto& use : value->uses()) visit(use.user, use.offset);
}

/// Attribute path of a value read from the method's self, e.g. "layers.0.q.weight"; nullopt when it is none.
std::optional<std::string> attribute_path(Value* value, const Owners& owners) {
  std::string path;
  while (value->node()->kind() == torch::jit::prim::GetAttr) {
    const std::string name = value->node()->s(torch::jit::attr::name);
    path = path.empty() ? name : name + "." + path;
    value = value->node()->input(0);
  }
  if (path.empty() || value->node()->kind() != torch::jit::prim::Param) return std::nullopt;
  const auto fork = owners.find(value->node()->owningGraph());
  if (fork != owners.end() && value->offset() < fork->second->inputs().size()) {
    const auto outer = attribute_path(fork->second->input(value->offset()), owners);
    if (outer) return *outer + "." + path;
    if (fork->second->input(value->offset())->type()->cast<c10::ClassType>() == nullptr) return std::nullopt;
  }
  return path;
}

struct Projection {
  std::string owner;       // module path of the nearest linear-like ancestor, without the leaf
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
  const auto range = node->sourceRange();
  if (!range.source()) return "";
  const auto original = range.source()->findSourceRangeThatGenerated(range);
  const auto& known = original ? *original : range;
  if (const auto location = known.file_line_col()) {
    std::string file = std::get<0>(*location);
    const size_t slash = file.rfind('/');
    if (slash != std::string::npos) file = file.substr(slash + 1);
    return file + ":" + std::to_string(std::get<1>(*location));
  }
  return "";
}

/// The product that made a value, through what only carries it on.
Node* product_behind(Value* value, const Owners& owners) {
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  while (!queue.empty()) {
    Value* current = queue.front();
    queue.pop_front();
    Node* node = current->node();
    if (is_any(node, kProducts)) return node;
    const bool boundary = node->kind() == torch::jit::prim::If || node->kind() == torch::jit::prim::Loop ||
                          node->kind() == torch::jit::prim::Param;
    if (!boundary && !is_any(node, kCarries)) continue;
    for (Value* next : sources(current, owners)) {
      if (next->type()->isSubtypeOf(c10::TensorType::get()) && seen.insert(next).second) queue.push_back(next);
    }
  }
  return nullptr;
}

/// True when a softmax result reaches a product through what only carries it on.
bool reaches_product(Value* value) {
  std::deque<Value*> queue{value};
  std::unordered_set<Value*> seen{value};
  bool reached = false;
  const auto follow = [&](Value* next) {
    if (seen.insert(next).second) queue.push_back(next);
  };
  while (!queue.empty() && !reached) {
    Value* current = queue.front();
    queue.pop_front();
    each_use(current, [&](Node* user, size_t offset) {
      if (is_any(user, kProducts)) {
        reached = true;
      } else if (user->kind() == torch::jit::prim::ListConstruct) {
        for (const auto& use : user->output()->uses()) reached = reached || is_any(use.user, {"aten::einsum"});
      } else if (user->kind() == torch::jit::prim::Return) {
        Node* owner = user->owningBlock()->owningNode();
        if (owner == nullptr) return;
        const size_t skip = owner->kind() == torch::jit::prim::Loop ? 1 : 0;
        if (offset >= skip && offset - skip < owner->outputs().size()) follow(owner->output(offset - skip));
      } else if (is_any(user, kCarries)) {
        for (Value* output : user->outputs()) follow(output);
      }
    });
  }
  return reached;
}

std::optional<int64_t> constant_int(Value* value, const Owners& owners, const Module& self) {
  if (const auto known = torch::jit::toIValue(value)) {
    return known->isInt() ? std::optional<int64_t>(known->toInt()) : std::nullopt;
  }
  if (value->type()->kind() != c10::TypeKind::IntType) return std::nullopt;
  const auto path = attribute_path(value, owners);
  if (!path) return std::nullopt;
  c10::IValue object = self._ivalue();
  for (size_t start = 0; start <= path->size();) {
    const size_t end = std::min(path->find('.', start), path->size());
    const std::string name = path->substr(start, end - start);
    if (!object.isObject() || !object.toObject()->type()->findAttributeSlot(name)) return std::nullopt;
    object = object.toObject()->getAttr(name);
    start = end + 1;
  }
  return object.isInt() ? std::optional<int64_t>(object.toInt()) : std::nullopt;
}

/// Number of heads from the reshape that splits the projected queries: [b, t, heads, d] later transposed, or [b, heads,
/// t, d].
int64_t heads_of(Value* q, const Owners& owners, const Module& self) {
  bool swapped = false;
  for (int step = 0; step < 12; ++step) {
    Node* node = q->node();
    if (is_any(node, {"aten::transpose", "aten::permute"})) swapped = true;
    if (is_any(node, {"aten::view", "aten::reshape", "aten::unflatten"})) {
      Node* list = node->inputs().back()->node();
      if (list->kind() != torch::jit::prim::ListConstruct) {
        const auto sizes = torch::jit::toIValue(node->inputs().back());
        if (!sizes || !sizes->isIntList()) return 0;
        const auto values = sizes->toIntVector();
        return values.size() == 4 ? values[swapped ? 2 : 1] : 0;
      }
      if (list->inputs().size() == 4) {
        const auto heads = constant_int(list->input(swapped ? 2 : 1), owners, self);
        return heads && *heads > 0 ? *heads : 0;
      }
      if (list->inputs().size() == 2 && std::string_view(node->kind().toQualString()) == "aten::unflatten") {
        const auto heads = constant_int(list->input(0), owners, self);
        return heads && *heads > 0 ? *heads : 0;
      }
    }
    if (node->inputs().empty() || (!is_any(node, kCarries) && !is_any(node, {"aten::select"}))) return 0;
    q = node->input(0);
  }
  return 0;
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

std::vector<FoundSite> find_in_graph(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown) {
  const Owners owners = owners_of(*method.graph);
  const std::string prefix = tree.prefix(method.type);
  std::vector<FoundSite> found;
  std::vector<std::string> inner;  // parallel to found
  int64_t nameless = 0;
  each_node(method.graph->block(), [&](Node* node) {
    const bool softmax = is_any(node, {"aten::softmax", "aten::_softmax", "aten::_safe_softmax"});
    const bool sdpa = is_any(node, {"aten::scaled_dot_product_attention"});
    if (!softmax && !sdpa) return;
    FoundSite site;
    site.node = node;
    site.site.kind = sdpa ? "sdpa" : "softmax";
    site.site.source = source_of(node);
    Value* q = nullptr;
    Value* k = nullptr;
    if (sdpa) {
      q = node->input(0);
      k = node->input(1);
    } else {
      Node* scores = product_behind(node->input(0), owners);
      const bool used = reaches_product(node->output());
      if (scores == nullptr || !used) {
        if (unknown != nullptr && (scores != nullptr || used)) {
          unknown->push_back(
              {node->kind().toQualString(),
               scores == nullptr
                   ? "a softmax that feeds a product, but no product of queries and keys was found behind it"
                   : "a softmax over a product whose result reaches no product with values",
               site.site.source});
        }
        return;
      }
      std::vector<Value*> operands;
      for (Value* input : scores->inputs()) {
        if (input->node()->kind() == torch::jit::prim::ListConstruct) {
          for (Value* element : input->node()->inputs()) operands.push_back(element);
        } else if (input->type()->isSubtypeOf(c10::TensorType::get())) {
          operands.push_back(input);
        }
      }
      if (is_any(scores, {"aten::baddbmm"}) && operands.size() == 3) operands.erase(operands.begin());
      if (operands.size() < 2) return;
      q = operands[0];
      k = operands[1];
    }
    const auto q_from = projection(q, owners);
    const auto k_from = projection(k, owners);
    site.site.relation = "unknown";
    if (q_from && k_from && q_from->input != nullptr && k_from->input != nullptr) {
      site.site.relation = q_from->input == k_from->input ? "self" : "cross";
    }
    site.site.heads = heads_of(q, owners, tree.instance(method.type));

    const StackName stack = name_by_stack(tree.instance(method.type), node);
    std::string chain;
    if (q_from && k_from) {
      chain = common_path(parent_path(q_from->owner), parent_path(k_from->owner));
      if (q_from->owner == k_from->owner && !q_from->owner.empty()) chain = q_from->owner;  // in_proj_weight
    }
    const bool in_fork = owners.count(node->owningGraph()) != 0;
    std::string name = stack.path && !stack.path->empty() && !in_fork ? *stack.path : chain;
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
      while (taken.count(site.site.name) != 0) site.site.name = name + "#" + std::to_string(++ordinal);
    }
    found.push_back(site);
    inner.push_back(stack.inner);
  });
  return found;
}

SiteReport find_sites(const Module& module) {
  SiteReport report;
  try {
    torch::jit::GraphOptimizerEnabledGuard optimise(true);
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
  const bool any_cross =
      std::any_of(report.sites.begin(), report.sites.end(), [](const Site& s) { return s.relation == "cross"; });
  for (auto& site : report.sites) site.proposed = any_cross ? site.relation == "cross" : true;
  return report;
}

}  // namespace gaze
