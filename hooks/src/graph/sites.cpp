// SPDX-License-Identifier: MIT
#include "graph/sites.hpp"

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include "graph/arguments.hpp"
#include "graph/attention.hpp"
#include "graph/axes.hpp"
#include "graph/fused.hpp"
#include "graph/gates.hpp"
#include "graph/heads_of.hpp"
#include "graph/loops.hpp"
#include "graph/names.hpp"
#include "graph/op_traits.hpp"
#include "graph/torch_compat.hpp"
#include "graph/walk.hpp"

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

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
          weight = argument(weight->node(), Arg::Operand);
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

/// Names of the tensor arguments of the method that a value depends on; sizes and types do not count.
std::vector<std::string> arguments_behind(Value* value, const Owners& owners, const torch::jit::Graph& graph) {
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
    if (has(node, TellsShape)) continue;
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
  return std::equal(x->inputs().begin(), x->inputs().end(), y->inputs().begin(),
                    [&](Value* one, Value* other) { return same_value(one, other, depth + 1); });
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

/// The sites of one graph, one by one.
class SiteFinder {
 public:
  SiteFinder(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown)
      : graph_(*method.graph),
        prefix_(tree.prefix(method.type)),
        self_(tree.instance(method.type)),
        owners_(owners_of(graph_)),
        axes_(graph_, owners_, self_),
        unknown_(unknown) {}

  std::vector<FoundSite> find() {
    each_node(graph_.block(), [&](Node* node) {
      if (std::optional<Recognised> recognised = recognise(node)) add(*recognised);
    });
    return std::move(found_);
  }

 private:
  void not_understood(const Node* node, std::string why) {
    if (unknown_ != nullptr) unknown_->push_back({node->kind().toQualString(), std::move(why), source_of(node)});
  }

  std::optional<Recognised> recognise(Node* node) {
    if (auto fused = recognise_fused(node)) return fused;
    const WeightsAt at = weights_at(node, owners_, axes_);
    if (const auto* refused = std::get_if<WeightsRefused>(&at)) {
      if (refused->report) not_understood(node, refused->why);
      return std::nullopt;
    }
    const auto* weights = std::get_if<WeightsFound>(&at);
    if (weights == nullptr) {
      if (unknown_by_name(node)) not_understood(node, "an attention operator whose queries and keys are not known");
      return std::nullopt;
    }
    Recognised made;
    FoundSite& site = made.site;
    site.node = node;
    site.site.kind = "softmax";
    site.passes = weights->weights;
    site.after = weights->after;
    site.tap = "gaze::tap";
    site.key_axis = weights->k_axis;
    made.q = weights->q;
    made.k = weights->k;
    made.q_features = weights->q_features;
    made.weights = {weights->query_axis, weights->key_axis, weights->partial};
    return made;
  }

  void add(Recognised& recognised) {
    FoundSite& site = recognised.site;
    site.site.source = source_of(site.node);
    site.keys = recognised.k;
    const auto q_from = projection(recognised.q, owners_);
    const auto k_from = projection(recognised.k, owners_);
    site.site.q_reads = arguments_behind(recognised.q, owners_, graph_);
    site.site.k_reads = arguments_behind(recognised.k, owners_, graph_);
    site.site.relation = relation(recognised, q_from, k_from);
    count_heads(recognised);
    const StackName stack = name_by_stack(self_, site.node);
    site.site.name = unique(base_name(recognised, stack, q_from, k_from), stack, site.node);
    site.site.tower = tower_of(site.site.name);
    site.site.gate = gate_of(site.passes, owners_, self_);
    site.site.gathers_rows = rows_are_gathered(site.node, owners_);
    found_.push_back(site);
    inner_.push_back(stack.inner);
  }

  static const char* relation(const Recognised& recognised, const std::optional<Projection>& q_from,
                              const std::optional<Projection>& k_from) {
    if (recognised.packed) return same_value(recognised.q, recognised.k) ? "self" : "cross";
    if (q_from && k_from && q_from->input != nullptr && k_from->input != nullptr)
      return same_value(q_from->input, k_from->input) ? "self" : "cross";
    return recognised.site.site.q_reads != recognised.site.site.k_reads ? "cross" : "unknown";
  }

  void count_heads(Recognised& recognised) const {
    FoundSite& site = recognised.site;
    if (recognised.packed) {
      site.site.heads = axes_.constant(recognised.packed->heads).value_or(0);
      site.site.kv_heads = site.site.heads;
      return;
    }
    site.site.heads = heads_of(recognised.q, false, owners_, self_);
    site.site.kv_heads = heads_of(recognised.k, true, owners_, self_);
    site.site.channels = over_channels(recognised.q, recognised.q_features, owners_, axes_);
    if (!recognised.weights) return;
    const Weights& weights = *recognised.weights;
    site.inputs = {c10::IValue(weights.query_axis), c10::IValue(weights.key_axis), c10::IValue(site.site.heads),
                   c10::IValue(weights.partial)};
  }

  /// The module path, whichever call of that module it is.
  std::string base_name(const Recognised& recognised, const StackName& stack, const std::optional<Projection>& q_from,
                        const std::optional<Projection>& k_from) {
    const FoundSite& site = recognised.site;
    std::string chain;
    if (q_from && k_from) {
      chain = common_path(parent_path(q_from->owner), parent_path(k_from->owner));
      if (q_from->owner == k_from->owner && !q_from->leaf) chain = q_from->owner;
    }
    const bool in_fork = owners_.count(site.node->owningGraph()) != 0;
    std::string name = stack.path && !stack.path->empty() && !in_fork ? *stack.path : chain;
    if (recognised.packed) {  // a whole layer may be one operator: the projection's owner is the attention
      const auto weight = attribute_path(recognised.packed->weight, owners_);
      if (weight) name = parent_path(*weight);
    }
    name = join(prefix_, name);
    if (name.empty() && !q_from)
      name = "attention" + std::to_string(nameless_++) + (site.site.source.empty() ? "" : "@" + site.site.source);
    return name.empty() ? "attention" : name;
  }

  /// The arms of a branch are one call; a second call elsewhere in the module gets an ordinal.
  [[nodiscard]] std::string unique(const std::string& name, const StackName& stack, Node* node) const {
    int64_t ordinal = 1;
    for (size_t i = 0; i < found_.size(); ++i) {
      const std::string& other = found_[i].site.name;
      if (other.substr(0, other.find('#')) != name) continue;
      if (inner_[i] == stack.inner || exclusive(found_[i].node, node)) return other;
      ++ordinal;
    }
    std::set<std::string> taken;
    for (const auto& other : found_) taken.insert(other.site.name);
    std::string unique = name;
    while (taken.count(unique) != 0) unique = name + "#" + std::to_string(ordinal++);
    return unique;
  }

  torch::jit::Graph& graph_;
  const std::string prefix_;
  const Module& self_;
  const Owners owners_;
  const GraphAxes axes_;
  std::vector<Unknown>* const unknown_;
  std::vector<FoundSite> found_;
  std::vector<std::string> inner_;  // parallel to found_
  int64_t nameless_ = 0;
};

}  // namespace

void inline_forks(torch::jit::Graph& graph) {
  each_node(graph.block(), [](Node* node) {
    if (!node->hasAttribute(torch::jit::attr::Subgraph)) return;
    // Copies of a graph share their subgraphs: without an own copy the file's graph() would change.
    node->g_(torch::jit::attr::Subgraph, node->g(torch::jit::attr::Subgraph)->copy());
    torch::jit::Inline(*node->g(torch::jit::attr::Subgraph));
  });
}

std::vector<FoundSite> find_in_graph(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown) {
  return SiteFinder(tree, method, unknown).find();
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
