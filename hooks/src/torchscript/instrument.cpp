// SPDX-License-Identifier: MIT
#include "torchscript/instrument.hpp"

#include <ATen/autocast_mode.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "graph/arguments.hpp"
#include "graph/sites.hpp"
#include "graph/torch_compat.hpp"
#include "graph/writes.hpp"
#include "process/fork_gate.hpp"
#include "torchscript/tap_ops.hpp"

namespace gaze {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::GraphFunction;
using torch::jit::Node;
using torch::jit::Value;
using torch::jit::WithInsertPoint;

SetUpMutex registry_mutex;

/// A model's number is its index here. Held weakly: an address may be used again for another model's type.
std::vector<std::weak_ptr<c10::ClassType>>& instrumented_types() {
  static auto* types = new std::vector<std::weak_ptr<c10::ClassType>>();
  return *types;
}

/// Restores autocast's thread-local state.
class AutocastState {
 public:
  AutocastState()
      : cpu_(at::autocast::is_autocast_enabled(at::kCPU)), cuda_(at::autocast::is_autocast_enabled(at::kCUDA)) {}
  ~AutocastState() { set(cpu_, cuda_); }
  AutocastState(const AutocastState&) = delete;
  AutocastState& operator=(const AutocastState&) = delete;
  static void set(bool cpu, bool cuda) {
    at::autocast::set_autocast_enabled(at::kCPU, cpu);
    at::autocast::set_autocast_enabled(at::kCUDA, cuda);
  }

 private:
  bool cpu_;
  bool cuda_;
};

bool holds(Block* block, const char* kind, std::set<const void*>& seen) {
  for (Node* node : block->nodes()) {
    if (std::string_view(node->kind().toQualString()) == kind) return true;
    for (Block* inner : node->blocks()) {
      if (holds(inner, kind, seen)) return true;
    }
    if (node->hasAttribute(torch::jit::attr::Subgraph) &&
        holds(node->g(torch::jit::attr::Subgraph)->block(), kind, seen))
      return true;
    // Called functions are inlined later, so they count.
    torch::jit::Function* called = nullptr;
    if (node->kind() == torch::jit::prim::CallFunction) {
      if (const auto type = element(node, 0)->type()->cast<c10::FunctionType>()) called = type->function();
    } else if (node->kind() == torch::jit::prim::CallMethod) {
      if (const auto type = element(node, 0)->type()->cast<c10::ClassType>())
        called = type->findMethod(node->s(torch::jit::attr::name));
    }
    auto* function = called != nullptr ? torch::jit::tryToGraphFunction(*called) : nullptr;
    if (function != nullptr && seen.insert(function).second && holds(function->graph()->block(), kind, seen))
      return true;
  }
  return false;
}

bool holds(Graph& graph, const char* kind) {
  std::set<const void*> seen;
  return holds(graph.block(), kind, seen);
}

struct Method {
  c10::ClassTypePtr type;
  std::string name;
  GraphFunction* function = nullptr;
  bool root = false;
};

std::vector<Method> methods_of(const ModuleTree& tree) {
  std::vector<Method> methods;
  for (const auto& type : tree.types()) {
    for (torch::jit::Function* method : type->methods()) {
      if (auto* function = torch::jit::tryToGraphFunction(*method)) {
        methods.push_back({type, method->name(), function, type == tree.root().type()});
      }
    }
  }
  return methods;
}

/// A new Function with a copy of the graph, so that it has no executor yet.
GraphFunction* replace(const Method& method) {
  auto graph = method.function->graph()->copy();
  const auto qualified = method.function->qualname();
  const auto schema = method.function->getSchema();
  auto unit = method.type->compilation_unit();
  if (!unit)
    throw Error("attach: expected " + method.name +
                " to belong to a compilation unit; it was unloaded. Load the module again.");
  auto* made = unit->create_function(qualified, std::move(graph), /*shouldMangle=*/true);
  made->setSchema(schema);
  // Nothing is allocated between the two: the type is never without its method.
  method.type->unsafeRemoveMethod(method.name);
  method.type->addMethod(made);
  return torch::jit::tryToGraphFunction(*made);
}

/// Forgets what was edited, unless all of it was: the next call makes the graphs anew.
struct Unfinished {
  ~Unfinished() {
    if (!whole)
      std::for_each(methods.begin(), methods.end(), [](auto& each) { each.function->clear_optimized_graphs(); });
  }
  std::vector<Method>& methods;
  bool whole = false;
};

Value* constant(Graph& graph, int64_t value) { return graph.insertConstant(value); }

void place_tap(Graph& graph, const FoundSite& site, int64_t id) {
  WithInsertPoint here(site.after->next());
  std::vector<Value*> inputs{site.passes};
  for (const TapInput& input : site.inputs) {
    if (const auto* value = std::get_if<Value*>(&input)) {
      inputs.push_back(*value);
    } else {
      inputs.push_back(graph.insertConstant(std::get<c10::IValue>(input)));
    }
  }
  inputs.push_back(constant(graph, id));
  Node* tap = graph.insertNode(graph.create(c10::Symbol::fromQualString(site.tap), inputs, 1));
  tap->output()->setType(site.passes->type());
  site.passes->replaceAllUsesAfterNodeWith(tap, tap->output());
}

/// Marks the beginning and the end of a call of a root method, and passes its tensors by, of which one may be the
/// picture and one the prompt's ids.
void place_frame(Graph& graph, int64_t id) {
  WithInsertPoint here(*graph.block()->nodes().begin());
  Node* enter = graph.insertNode(graph.create(c10::Symbol::fromQualString("gaze::enter"), {constant(graph, id)}, 1));
  enter->output()->setType(c10::CapsuleType::get());
  for (size_t i = 1; i < graph.inputs().size(); ++i) {  // input 0 is self
    Value* input = graph.inputs()[i];
    if (input->type()->kind() != c10::TypeKind::TensorType || input->uses().empty()) continue;
    Value* argument = constant(graph, make_id(id >> kIndexBits, static_cast<int64_t>(i) - 1));
    Node* offer = graph.insertNode(
        graph.create(c10::Symbol::fromQualString("gaze::offer"), {input, enter->output(), argument}, 1));
    offer->output()->setType(input->type());
    input->replaceAllUsesAfterNodeWith(offer, offer->output());
  }
  WithInsertPoint end(graph.return_node());
  graph.insertNode(graph.create(c10::Symbol::fromQualString("gaze::leave"), {enter->output()}, 0));
}

/// What a host may call, as it is in the file.
void describe_methods(const std::vector<Method>& methods, AttachedModel& made) {
  for (const Method& method : methods) {
    if (!method.root) continue;
    made.methods.push_back(method.name);
    made.arguments.push_back(static_cast<int64_t>(method.function->getSchema().arguments().size()) - 1);
    made.forks.push_back(holds(*method.function->graph(), "prim::fork") ? 1 : 0);
  }
}

/// The graph of a method that runs under one autocast state.
struct Cached {
  const Method* method;
  std::shared_ptr<Graph> graph;
  bool cpu, cuda;
};

std::vector<Cached> cache_graphs(const std::vector<Method>& methods) {
  std::vector<Cached> cached;
  for (const Method& method : methods) {
    Graph& raw = *method.function->graph();
    const bool no_cuda_states = holds(raw, "aten::is_autocast_enabled");  // torch::jit::Autocast crashes on it there
    const bool no_cpu_states = holds(raw, "aten::is_autocast_cpu_enabled");
    for (int state = 0; state < 4; ++state) {
      const bool cpu = (state & 1) != 0;
      const bool cuda = (state & 2) != 0;
      if ((cuda && no_cuda_states) || (cpu && no_cpu_states)) continue;
      AutocastState::set(cpu, cuda);
      cached.push_back({&method, method.function->optimized_graph(), cpu, cuda});
    }
  }
  return cached;
}

/// Before a graph has taps. One that has no attention to recompute is not analysed.
void mark_inputs_that_stay(const std::shared_ptr<Graph>& graph, std::vector<FoundSite>& sites) {
  std::optional<Writes> writes;
  for (FoundSite& site : sites) {
    if (std::string_view(site.tap) != "gaze::observe") continue;
    std::vector<Value*> inputs;
    for (const TapInput& input : site.inputs) {
      if (const auto* value = std::get_if<Value*>(&input)) inputs.push_back(*value);
    }
    if (!writes) writes.emplace(graph);
    site.site.inputs_stay = !writes->after(site.after, inputs);
    site.site.keys_live_on = site.keys != nullptr && writes->outlives(site.keys);
  }
}

/// Sites keep their number in whichever graph they are met.
class TapPlacer {
 public:
  TapPlacer(const ModuleTree& tree, AttachedModel& made) : tree_(tree), made_(made) {}

  void place(const Cached& entry) {
    if (!edited_.insert(entry.graph.get()).second) return;
    const Method& method = *entry.method;
    AutocastState::set(entry.cpu, entry.cuda);  // what is inlined into forks must be of the same state
    inline_forks(*entry.graph);
    std::vector<FoundSite> found = find_in_graph(tree_, {method.type, method.name, entry.graph, method.root}, nullptr);
    mark_inputs_that_stay(entry.graph, found);
    for (const FoundSite& site : found) {
      place_tap(*site.after->owningGraph(), site, make_id(made_.number, number_of(site, method)));
    }
    if (method.root) {
      const auto at = std::find(made_.methods.begin(), made_.methods.end(), method.name) - made_.methods.begin();
      place_frame(*entry.graph, make_id(made_.number, at));
    }
    entry.graph->lint();
  }

 private:
  int64_t number_of(const FoundSite& site, const Method& method) {
    const auto [at, added] = numbers_.emplace(site.site.name, static_cast<int64_t>(made_.sites.size()));
    if (added) made_.sites.push_back(site.site);
    Site& known = made_.sites[static_cast<size_t>(at->second)];
    known.inputs_stay = known.inputs_stay && site.site.inputs_stay;  // in every graph
    known.keys_live_on = known.keys_live_on && site.site.keys_live_on;
    if (method.root) {
      auto& names = made_.sites[static_cast<size_t>(at->second)].methods;
      if (std::find(names.begin(), names.end(), method.name) == names.end()) names.push_back(method.name);
    }
    return at->second;
  }

  const ModuleTree& tree_;
  AttachedModel& made_;
  std::map<std::string, int64_t> numbers_;
  std::set<Graph*> edited_;
};

}  // namespace

AttachedModel& instrument(torch::jit::Module& module) {
  const std::lock_guard<SetUpMutex> lock(registry_mutex);
  auto& types = instrumented_types();
  size_t number = types.size();
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i].lock() == module.type()) return *attached_model_of(make_id(static_cast<int64_t>(i), 0));
    if (types[i].expired()) number = i;  // its graphs are gone, so are its ids
  }
  check_number(static_cast<int64_t>(number));
  register_tap_ops();

  const OptimiseGraphs optimise;
  const ModuleTree tree(module);
  const AutocastState restore;
  auto made = std::make_unique<AttachedModel>();
  made->number = static_cast<int64_t>(number);

  // First everything is read and named on copies: a failure here leaves the module untouched.
  std::vector<Method> methods = methods_of(tree);
  describe_methods(methods, *made);

  // Executors ignore later edits: a method that ran needs a new Function before any graph is inlined from it.
  for (Method& method : methods) {
    if (has_run(*method.function)) method.function = replace(method);
  }

  if (number == types.size()) types.emplace_back();
  Unfinished edit{methods};

  // Then every graph is cached before any tap is placed, else callers would inline tapped callees.
  const std::vector<Cached> cached = cache_graphs(methods);
  TapPlacer taps(tree, *made);
  for (const Cached& entry : cached) taps.place(entry);

  propose(made->sites);
  edit.whole = true;
  AttachedModel* result = made.release();
  publish(result);
  types[number] = module.type();
  return *result;
}

}  // namespace gaze
