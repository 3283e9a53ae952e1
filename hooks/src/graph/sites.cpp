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
#include "graph/left_names.hpp"
#include "graph/loops.hpp"
#include "graph/names.hpp"
#include "graph/op_traits.hpp"
#include "graph/projections.hpp"
#include "graph/torch_compat.hpp"
#include "graph/walk.hpp"

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

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

/// What a value is a sum of, through what keeps the places of a sum: norms, casts, shapes.
std::unordered_set<const void*> stream_of(Value* value, const Owners& owners) {
  std::unordered_set<const void*> stream;
  std::vector<Value*> stack{value};
  while (!stack.empty()) {
    Value* const current = stack.back();
    stack.pop_back();
    if (!is_tensor(current) || is_parameter(current, owners) || !stream.insert(current).second) continue;
    Node* const node = current->node();
    if (!has(node, KeepsAxes | Reshapes) || is_any(node, {"aten::cat", "aten::masked_scatter", "aten::where"}))
      continue;
    for (Value* next : sources(current, owners)) stack.push_back(next);
  }
  return stream;
}

/// The sites of one graph, one by one.
class SiteFinder {
 public:
  SiteFinder(const ModuleTree& tree, const MethodGraph& method, std::vector<Unknown>* unknown)
      : tree_(tree),
        graph_(*method.graph),
        method_(method.method),
        prefix_(tree.prefix(method.type)),
        self_(tree.instance(method.type)),
        owners_(owners_of(graph_)),
        axes_(graph_, owners_, self_),
        unknown_(unknown) {
    each_node(graph_.block(), [&](Node* node) {
      if (std::optional<Recognised> recognised = recognise(node)) add(*recognised);
    });
  }

  /// Sites without a path, for names_of_left, each with what tells it in every copy of the graph.
  void leave(std::vector<LeftSite>& left, std::vector<std::string>& keys) const {
    std::map<size_t, size_t> at;  // of those that have no path: their index in `left`
    for (size_t i = 0; i < found_.size(); ++i) {
      if (!places_[i].left) continue;
      LeftSite site = *places_[i].left;
      for (size_t j = 0; j < i && !site.instead_of; ++j) {
        if (places_[j].left && exclusive(found_[j].node, found_[i].node)) site.instead_of = at.at(j);
      }
      at[i] = left.size();
      left.push_back(std::move(site));
      keys.push_back(places_[i].key);
    }
  }

  [[nodiscard]] bool has_left() const {
    return std::any_of(places_.begin(), places_.end(), [](const Place& place) { return place.left.has_value(); });
  }

  /// @param left  of those without a path
  std::vector<FoundSite> named(const LeftNames& left) {
    int64_t nameless = 0;
    for (size_t i = 0; i < found_.size(); ++i) {
      Site& site = found_[i].site;
      std::string name = places_[i].path;
      const auto made = places_[i].left ? left.find(places_[i].key) : left.end();
      if (made != left.end()) {
        name = made->second.name;
      } else if (places_[i].left || places_[i].nameless) {
        name = "attention" + std::to_string(nameless++) + (site.source.empty() ? "" : "@" + site.source);
      }
      site.name = unique(name.empty() ? "attention" : name, i);
      site.tower = made != left.end() ? made->second.tower : tower_of(site.name);
    }
    describe_by_living_arms();
    return std::move(found_);
  }

 private:
  /// Where a site stands: its module path, or what is left of it.
  struct Place {
    std::string path;
    std::string inner;      // source ranges below the module
    bool nameless = false;  // nothing tells of a module
    bool frozen = false;    // constants tell of it, if anything: equal ones may be of two layers
    std::optional<LeftSite> left;
    std::string key;
  };

  /// Of the arms of a branch, which are one site, an attribute may leave out some: the others say what it is.
  void describe_by_living_arms() {
    std::map<std::string, const Site*> living;
    for (const FoundSite& found : found_) {
      if (!left_out(found.node, owners_, self_)) living.emplace(found.site.name, &found.site);
    }
    for (FoundSite& found : found_) {
      const auto other = living.find(found.site.name);
      if (other != living.end() && left_out(found.node, owners_, self_)) found.site = *other->second;
    }
  }

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
    site.site.kind = SiteKind::Softmax;
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
    const auto q_from = projections_of(recognised.q, owners_);
    const auto k_from = projections_of(recognised.k, owners_);
    site.site.q_reads = arguments_behind(recognised.q, owners_, graph_);
    site.site.k_reads = arguments_behind(recognised.k, owners_, graph_);
    site.site.relation = relation(recognised, q_from, k_from);
    count_heads(recognised);
    site.site.gate = gate_of(site.passes, owners_, self_);
    site.site.gathers_rows = rows_are_gathered(site.node, owners_);
    const auto nearest = [](const std::vector<ProjectionWay>& ways) -> const Projection* {
      const auto with_path =
          std::find_if(ways.begin(), ways.end(), [](const ProjectionWay& way) { return !way.projection.nameless; });
      if (with_path != ways.end()) return &with_path->projection;
      return ways.empty() ? nullptr : &ways.front().projection;
    };
    places_.push_back(place(recognised, nearest(q_from), nearest(k_from)));
    found_.push_back(site);
  }

  static SiteRelation relation(const Recognised& recognised, const std::vector<ProjectionWay>& q_from,
                               const std::vector<ProjectionWay>& k_from) {
    if (recognised.packed) return same_value(recognised.q, recognised.k) ? SiteRelation::Self : SiteRelation::Cross;
    if (const auto same = project_the_same(q_from, k_from)) return *same ? SiteRelation::Self : SiteRelation::Cross;
    return recognised.site.site.q_reads != recognised.site.site.k_reads ? SiteRelation::Cross : SiteRelation::Unknown;
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

  /// The module path, whichever call of that module it is, or what freezing left of it.
  Place place(const Recognised& recognised, const Projection* q_from, const Projection* k_from) {
    const FoundSite& site = recognised.site;
    const StackName stack = name_by_stack(self_, site.node);
    Place made;
    made.inner = stack.inner;
    std::string chain;
    if (q_from != nullptr && k_from != nullptr) {
      chain = common_path(parent_path(q_from->owner), parent_path(k_from->owner));
      if (q_from->owner == k_from->owner && !q_from->leaf) chain = q_from->owner;
    }
    const bool in_fork = owners_.count(site.node->owningGraph()) != 0;
    made.path = stack.path && !stack.path->empty() && !in_fork ? *stack.path : chain;
    at::Tensor matrix = q_from != nullptr && q_from->nameless ? q_from->matrix : at::Tensor();
    if (recognised.packed) {  // a whole layer may be one operator: the projection's owner is the attention
      const auto weight = parameter_path(recognised.packed->weight, owners_);
      if (weight) made.path = parent_path(*weight);
      matrix = weight ? at::Tensor() : constant_tensor(recognised.packed->weight);
    }
    made.path = join(prefix_, made.path);
    made.nameless = made.path.empty() && q_from == nullptr;
    made.frozen = matrix.defined() || (q_from != nullptr && q_from->matrix.defined());
    if (made.path.empty() && (matrix.defined() || (made.nameless && tree_.bare()))) {
      made.key = key_of(site.node);
      made.left = left_of(recognised, q_from, matrix);
    }
    return made;
  }

  LeftSite left_of(const Recognised& recognised, const Projection* q_from, const at::Tensor& matrix) const {
    const FoundSite& site = recognised.site;
    LeftCalls calls = left_calls(site.node);
    LeftSite left;
    left.calls = std::move(calls.lines);
    left.calls.insert(left.calls.begin(), method_);
    left.file = std::move(calls.file);
    left.op = site.node->kind().toQualString();
    left.relation = site.site.relation;
    // Parts of a packed matrix share their memory.
    if (matrix.defined() && matrix.has_storage()) left.matrix = matrix.storage().unsafeGetStorageImpl();
    const bool projected = !recognised.packed && q_from != nullptr && q_from->input != nullptr;
    left.stream = stream_of(projected ? q_from->input : recognised.q, owners_);
    return left;
  }

  /// The operator and its place in the file; layers that are inlined from one place are counted.
  std::string key_of(const Node* node) {
    const torch::jit::SourceRange range = node->sourceRange();
    const std::string key = method_ + " " + node->kind().toQualString() + " " + std::to_string(range.start()) + "-" +
                            std::to_string(range.end());
    return key + "#" + std::to_string(alike_[key]++);
  }

  /// The arms of a branch are one call; a second call elsewhere in the module gets an ordinal.
  [[nodiscard]] std::string unique(const std::string& name, size_t site) const {
    int64_t ordinal = 1;
    std::set<std::string> taken;
    for (size_t i = 0; i < site; ++i) {
      const std::string& other = found_[i].site.name;
      taken.insert(other);
      if (other.substr(0, other.find('#')) != name) continue;
      const bool one_call = !places_[site].frozen && places_[i].inner == places_[site].inner;
      if (one_call || exclusive(found_[i].node, found_[site].node)) return other;
      ++ordinal;
    }
    std::string unique = name;
    while (taken.count(unique) != 0) unique = name + "#" + std::to_string(ordinal++);
    return unique;
  }

  const ModuleTree& tree_;
  torch::jit::Graph& graph_;
  const std::string method_;
  const std::string prefix_;
  const Module& self_;
  const Owners owners_;
  const GraphAxes axes_;
  std::vector<Unknown>* const unknown_;
  std::vector<FoundSite> found_;
  std::vector<Place> places_;  // parallel to found_
  std::map<std::string, size_t> alike_;
};

/// A copy that can be read: everything inlined, arms that are never taken gone, axes computed.
std::shared_ptr<torch::jit::Graph> readable(const torch::jit::GraphFunction& function) {
  auto graph = function.graph()->copy();
  torch::jit::Inline(*graph);
  inline_forks(*graph);
  torch::jit::ConstantPropagation(graph);
  return graph;
}

/// Of all methods of a type at once: a module that two of them call has one name.
LeftNames names_left_in(const ModuleTree& tree, const c10::ClassTypePtr& type) {
  std::vector<LeftSite> left;
  std::vector<std::string> keys;
  std::vector<std::shared_ptr<torch::jit::Graph>> graphs;  // whose values are told apart by their addresses
  for (torch::jit::Function* method : type->methods()) {
    auto* const function = torch::jit::tryToGraphFunction(*method);
    if (function == nullptr) continue;
    graphs.push_back(readable(*function));
    SiteFinder(tree, {type, method->name(), graphs.back(), false}, nullptr).leave(left, keys);
  }
  const std::vector<LeftName> names = names_of_left(left);
  LeftNames by_key;
  for (size_t i = 0; i < names.size(); ++i) by_key.emplace(keys[i], names[i]);
  return by_key;
}

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
  SiteFinder finder(tree, method, unknown);
  if (!finder.has_left()) return finder.named({});
  return finder.named(tree.left_names(method.type, [&] { return names_left_in(tree, method.type); }));
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
        const auto graph = readable(*function);
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
