// SPDX-License-Identifier: MIT
// Runs an edited copy of a method's graph on perturbed inputs and watches its keys.
#include <ATen/TensorOperators.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/hooks/probe.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <map>

#include "capture/key_observer.hpp"
#include "graph/sites.hpp"
#include "graph/torch_compat.hpp"
#include "graph/walk.hpp"
#include "probe/key_layout.hpp"
#include "probe/key_shift.hpp"
#include "probe/probe_input.hpp"
#include "probe/probe_profile.hpp"
#include "probe/probe_verdict.hpp"
#include "torchscript/example_inputs.hpp"
#include "torchscript/tap_ops.hpp"

namespace gaze {
namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

/// Hands the keys of a site to a watch, where they are made.
void place_watch(const FoundSite& site, int64_t watch, int64_t index) {
  Node* const made = site.keys->node();
  Graph& graph = *made->owningGraph();
  const bool enters = made->kind() == torch::jit::prim::Param;
  const torch::jit::WithInsertPoint here(enters ? *made->owningBlock()->nodes().begin() : made->next());
  const std::vector<Value*> inputs{site.keys, graph.insertConstant(site.key_axis), graph.insertConstant(watch),
                                   graph.insertConstant(index)};
  Node* const tap = graph.insertNode(graph.create(c10::Symbol::fromQualString("gaze::keys"), inputs, 1));
  tap->output()->setType(site.keys->type());
  site.keys->replaceAllUsesAfterNodeWith(tap, tap->output());
}

constexpr double kRounding = 4e-6;  // of a key's length: 32 units in the last place of float32

/// What one site's keys did.
struct Watched {
  int64_t calls = 0;     // in the present run
  int64_t keys = 0;      // in the present run
  int64_t groups = 1;    // of keys per picture: attention inside windows
  at::Tensor base_gkm;   // float [groups, keys, everything else]
  at::Tensor square_gk;  // double [groups, keys], of the base
  at::Tensor energy_gk;  // double [groups, compared keys], of the present run
  std::string problem;   // why its keys cannot be compared
};

/// float [groups, keys, everything else]: what lies in one group and what in another is another row of keys, though the
/// model takes both for a batch.
at::Tensor grouped(const at::Tensor& k, int64_t key_axis, int64_t groups, int64_t batch, int64_t heads) {
  const at::Tensor all = k.detach();
  const int64_t keys_at = all.dim() + key_axis;
  if (groups == 1) return all.movedim(keys_at, 0).flatten(1).unsqueeze(0).to(at::kFloat);
  std::vector<int64_t> sizes = all.sizes().vec();
  int64_t at = 0;
  if (sizes[0] == batch * groups || sizes[0] == batch * groups * heads) {
    sizes[0] /= batch * groups;
    sizes.insert(sizes.begin(), {batch, groups});
    return all.reshape(sizes).movedim({1, keys_at + 2}, {0, 1}).flatten(2).to(at::kFloat);
  }
  while (at < all.dim() && (at == keys_at || sizes[static_cast<size_t>(at)] != groups)) ++at;
  if (at == all.dim()) return grouped(k, key_axis, 1, batch, heads);
  return all.movedim({at, keys_at}, {0, 1}).flatten(2).to(at::kFloat);
}

/// The method's graph with its keys watched, on a copy of its own: the module stays as it is.
class WatchedMethod {
 public:
  WatchedMethod(const torch::jit::Module& module, const std::string& name, const std::vector<c10::IValue>& arguments)
      : watch_([this](int64_t site, const at::Tensor& k, int64_t axis) { see(site, k, axis); }) {
    const auto method = module.find_method(name);
    auto* const function = method ? torch::jit::tryToGraphFunction(method->function()) : nullptr;
    if (function == nullptr)
      throw Error("probe: method: expected a method of the module, got \"" + name + "\". Name one of its own.");
    stack_.emplace_back(module._ivalue());
    stack_.insert(stack_.end(), arguments.begin(), arguments.end());
    function->getSchema().checkAndNormalizeInputs(stack_, {});

    const OptimiseGraphs optimise;
    const auto graph = function->optimized_graph()->copy();
    inline_forks(*graph);
    each_node(graph->block(), [](Node* node) {
      if (std::string_view(node->kind().toQualString()).rfind("gaze::", 0) == 0)
        throw Error("probe: expected a module without taps, got one that is attached. Probe before attach.");
    });
    register_tap_ops();
    std::map<std::string, size_t> index;
    for (const FoundSite& found : find_in_graph(ModuleTree(module), {module.type(), name, graph, true}, nullptr)) {
      const auto [at, added] = index.emplace(found.site.name, sites.size());
      if (added) {
        sites.push_back(found.site);
        sites.back().methods = {name};
      }
      place_watch(found, watch_.id(), static_cast<int64_t>(at->second));
    }
    if (sites.empty())
      throw Error("probe: expected a method that calls attention, got " + name +
                  ", in whose graph none was found. `gaze sites MODEL.pt` says which methods do.");
    propose(sites);
    graph->lint();
    watched.resize(sites.size());
    executor_ = torch::jit::GraphExecutor(graph, name, torch::jit::ExecutorExecutionMode::SIMPLE);
  }

  /// With argument `at` replaced. The first run is the base of all others.
  /// @param further  keys that those of the run lie further along than those of the base that they are compared with
  void run(size_t at, const at::Tensor& argument, int64_t batch, int64_t further = 0) {
    const at::NoGradGuard no_grad;
    batch_ = batch;
    further_ = further;
    for (Watched& each : watched) {
      each.calls = each.keys = 0;
      each.energy_gk = at::Tensor();
    }
    torch::jit::Stack stack = stack_;
    stack[at + 1] = argument;
    executor_.run(stack);
  }

  std::vector<Site> sites;
  std::vector<Watched> watched;  // by site

 private:
  void see(int64_t site, const at::Tensor& k, int64_t axis) {
    Watched& state = watched[static_cast<size_t>(site)];
    if (state.calls++ > 0) return;
    if (k.is_nested() || k.dim() < 2) {
      state.problem = "are nested or of fewer than 2 dimensions";
      return;
    }
    const Site& known = sites[static_cast<size_t>(site)];
    const int64_t heads = std::max(known.heads, known.kv_heads);
    const int64_t outer = k.numel() / std::max<int64_t>(1, k.size(-1) * k.size(-2));
    const int64_t groups = heads > 0 && outer > 0 && outer % (heads * batch_) == 0 ? outer / (heads * batch_) : 1;
    const at::Tensor k_gkm = grouped(k, axis, groups, batch_, heads);
    state.keys = k_gkm.size(1);
    if (!state.base_gkm.defined()) {
      state.base_gkm = k_gkm.clone();
      state.groups = k_gkm.size(0);
      state.square_gk = k_gkm.square().sum({2}, false, at::kDouble).cpu();
      return;
    }
    if (k_gkm.sizes() != state.base_gkm.sizes()) {
      state.problem = "have other sizes in other runs";
      return;
    }
    const int64_t pairs = k_gkm.size(1) - std::abs(further_);
    if (pairs <= 0) return;
    const at::Tensor base_gpm = state.base_gkm.narrow(1, std::max<int64_t>(0, -further_), pairs);
    // NaN that stays NaN is no change, nor is what rounding does: torch's threads may add in another order in every
    // run.
    const at::Tensor energy_gk = (k_gkm.narrow(1, std::max<int64_t>(0, further_), pairs) - base_gpm)
                                     .square()
                                     .nan_to_num(0)
                                     .sum({2}, false, at::kDouble)
                                     .cpu();
    const at::Tensor square_gk = state.square_gk.narrow(1, std::max<int64_t>(0, -further_), pairs);
    state.energy_gk = energy_gk.masked_fill(energy_gk.le(square_gk * (kRounding * kRounding)), 0);
  }

  torch::jit::Stack stack_;
  int64_t batch_ = 1;
  int64_t further_ = 0;
  torch::jit::GraphExecutor executor_;
  KeyObserver watch_;
};

/// Whether a sound of half the length gives fewer keys. One that the model refuses has a window of its own.
void see_growth(WatchedMethod& method, size_t at, const ProbeInput& input, ProbeResult& result) {
  try {
    method.run(at, input.first_half(), input.batch);
  } catch (const std::exception&) {
    return;
  }
  for (size_t i = 0; i < result.sites.size(); ++i) {
    const int64_t keys = method.watched[i].keys;
    ProbedSite& probed = result.sites[i];
    probed.grows = keys > 0 && keys < static_cast<int64_t>(probed.keys.size());
  }
}

void refuse_unsteady(const WatchedMethod& method) {
  for (size_t i = 0; i < method.sites.size(); ++i) {
    const at::Tensor& energy_gk = method.watched[i].energy_gk;
    if (!energy_gk.defined() || energy_gk.max().item<double>() == 0) continue;
    const auto moved = energy_gk.gt(0).sum().item<int64_t>();
    throw Error("probe: expected the same keys from two runs on the same input, got " + std::to_string(moved) + " of " +
                std::to_string(energy_gk.numel()) + " different ones at " + method.sites[i].name +
                ". Take random crops, noise and dropout out of it; a model that was traced in training mode keeps its "
                "dropout.");
  }
}

/// A module in training mode changes with every run: what it normalises by, what it drops.
void refuse_training(const torch::jit::Module& module) {
  for (const auto& [name, part] : module.named_modules()) {
    if (!part.hasattr("training") || !part.attr("training").isBool() || !part.attr("training").toBool()) continue;
    throw Error("probe: expected a module in evaluation mode, got " + (name.empty() ? "one" : name) +
                " in training mode. Call eval() on it, before it is saved.");
  }
}

/// Room for what the strips of an axis do to `keys` keys.
StripResponse room(const InputAxis& axis, int64_t keys) {
  return {axis.length, axis.strip, axis.strips, std::vector<double>(static_cast<size_t>(keys * axis.strips))};
}

SiteResponse room(const ProbeInput& input, int64_t keys) {
  return {room(input.columns, keys), room(input.rows, keys), room(input.parts, keys)};
}

/// What one strip changed, relative to each key's square; one that is zero, as a padded one, must not divide by it.
void note(StripResponse& response, int64_t strip, const at::Tensor& energy, const at::Tensor& square) {
  const at::Tensor change_k = (energy / square.clamp_min(1e-20)).contiguous();
  const double* const change = change_k.const_data_ptr<double>();
  for (int64_t k = 0; k < change_k.numel(); ++k)
    response.energy_ks[static_cast<size_t>(k * response.strips + strip)] = change[k];
}

/// What is known before the first run.
ProbeResult unmeasured(const std::string& method, int64_t argument, const ProbeInput& input,
                       const ProbeOptions& options) {
  ProbeResult result;
  result.method = method;
  result.argument = argument;
  result.medium = options.medium;
  result.unit = input.unit;
  result.width = input.columns.length;
  result.height = input.rows.length;
  result.parts = input.parts.length;
  result.tiles = options.tiles;
  result.seconds_per_step = options.seconds_per_step;
  result.silent_steps = input.silent_steps;
  result.strip_width = input.columns.strip;
  result.strip_height = input.rows.strip;
  result.runs = 2 + input.columns.strips + input.rows.strips + input.parts.strips;
  return result;
}

}  // namespace

ProbeResult probe(const torch::jit::Module& module, const std::string& method,
                  const std::vector<c10::IValue>& arguments, int64_t argument, const ProbeOptions& options) {
  if (options.bands < 2 || options.bands > 4096)
    throw Error("probe: bands: expected 2 to 4096, got " + std::to_string(options.bands) + ".");
  if (!(options.strength > 0))
    throw Error("probe: strength: expected more than 0, got " + std::to_string(options.strength) + ".");
  if (argument < 0 || argument >= static_cast<int64_t>(arguments.size()))
    throw Error("probe: argument: expected an index below " + std::to_string(arguments.size()) + ", got " +
                std::to_string(argument) + ". Count the method's arguments from 0, without self.");
  const auto at = static_cast<size_t>(argument);
  const ProbeInput input(arguments[at], argument, options);
  refuse_training(module);

  ProbeResult result = unmeasured(method, argument, input, options);
  result.ids = first_rows(arguments);
  WatchedMethod watched(module, method, arguments);
  const auto begun = std::chrono::steady_clock::now();
  int64_t done = 0;
  const auto run = [&](const at::Tensor& tensor, int64_t further = 0) {
    watched.run(at, tensor, input.batch, further);
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (options.progress) options.progress(++done, result.runs, result.seconds);
  };
  run(input.base);
  run(input.base.clone());
  refuse_unsteady(watched);

  const size_t sites = watched.sites.size();
  std::vector<SiteResponse> folded;    // groups taken together
  std::vector<SiteResponse> unfolded;  // every group's keys, where there are several
  for (const Watched& site : watched.watched) {
    const int64_t keys = site.base_gkm.defined() ? site.base_gkm.size(1) : 0;
    folded.push_back(room(input, keys));
    unfolded.push_back(room(input, site.groups > 1 ? site.groups * keys : 0));
  }
  for (const auto& [axis, response_of] : {std::pair{&input.columns, &SiteResponse::columns},
                                          {&input.rows, &SiteResponse::rows},
                                          {&input.parts, &SiteResponse::parts}}) {
    for (int64_t strip = 0; strip < axis->strips; ++strip) {
      run(input.perturbed(*axis, strip));
      for (size_t i = 0; i < sites; ++i) {
        const Watched& site = watched.watched[i];
        if (!site.energy_gk.defined()) continue;
        note(folded[i].*response_of, strip, site.energy_gk.sum(0), site.square_gk.sum(0));
        if (site.groups > 1) note(unfolded[i].*response_of, strip, site.energy_gk, site.square_gk);
      }
    }
  }

  for (size_t i = 0; i < sites; ++i) {
    ProbedSite& probed = result.sites.emplace_back();
    probed.site = watched.sites[i];
    const Watched& site = watched.watched[i];
    probed.groups = site.groups;
    if (!site.problem.empty()) {
      probed.verdict = "cannot be probed: its keys " + site.problem;
    } else if (!site.base_gkm.defined()) {
      probed.verdict = "did not run";
    } else if (probed.site.channels) {
      probed.verdict = "compares channels: no key of it lies anywhere in the picture";
    } else {
      probed.keys = locate(folded[i]);
    }
  }
  if (options.medium == ProbeMedium::Sound) see_growth(watched, at, input, result);
  judge(result, folded, unfolded, [&](size_t site, const KeyTimeline& line) {
    result.runs = done + kShiftRuns;
    const auto stride = stride_by_shifts(line, [&](int64_t further, int64_t steps) {
      run(input.moved(steps), further);
      const at::Tensor& energy_gp = watched.watched[site].energy_gk;
      const int64_t first = line.first_key;
      return energy_gp.narrow(1, first, line.keys - std::abs(further)).mean().item<double>();
    });
    result.runs = done;
    return stride;
  });
  return result;
}

namespace {

/// How the argument is cut, by what the profile and its own shape say.
ProbeOptions options_for(const Profile& profile, const std::string& method, const c10::IValue& argument,
                         const std::vector<c10::IValue>& inputs) {
  const Geometry& geometry = *profile.geometry;
  ProbeOptions options;
  if (geometry.time) {
    options.medium = ProbeMedium::Sound;
    options.seconds_per_step = 1.0 / static_cast<double>(profile.sound->sample_rate_hz);
    return options;
  }
  const bool apart =
      argument.isTensor() && argument.toTensor().dim() == 5 && argument.toTensor().size(1) > 1;  // not merely a batch
  if (apart && (geometry.tiles || geometry.thumbnail)) {
    options.medium = ProbeMedium::Tiles;
    const Tiles tiles = geometry.tiles.value_or(Tiles());
    options.tiles = {tiles.rows, tiles.cols, std::nullopt};
    if (geometry.thumbnail) options.tiles.thumbnail_first = geometry.thumbnail->first;
  } else if (apart && geometry.video) {
    options.medium = ProbeMedium::Video;
  } else if (apart || (!profile.through && stated_spans(profile, method, first_rows(inputs)).size() > 1)) {
    options.medium = ProbeMedium::Pictures;
  }
  return options;
}

}  // namespace

void verify(const torch::jit::Module& module, const Profile& profile, const std::vector<c10::IValue>& inputs) {
  if (!profile.geometry)
    throw Error("verify: geometry: expected one to verify, got none. State it in the profile, or set verify to false.");
  const bool sound = profile.geometry->time.has_value();
  std::map<std::string, int64_t> arguments;
  if (sound && profile.sound) arguments = profile.sound->argument;
  if (!sound && profile.image) arguments = profile.image->argument;
  const std::string method = example_method(module, profile, inputs);
  const auto at = arguments.find(method);
  if (at == arguments.end())
    throw Error("verify: " + std::string(sound ? "sound" : "image") + ".argument." + method +
                ": expected the index of the " + (sound ? "samples" : "picture") +
                " among the example's arguments, got none. State it in the profile" +
                (arguments.empty() ? "." : ", or give the arguments of a method that it names."));
  if (at->second < 0 || at->second >= static_cast<int64_t>(inputs.size()))
    throw Error("verify: example_inputs: expected more than " + std::to_string(at->second) + " arguments of " + method +
                ", one of which the profile names, got " + std::to_string(inputs.size()) + ". Give them all.");
  const ProbeOptions options = options_for(profile, method, inputs[static_cast<size_t>(at->second)], inputs);
  const auto wrong = differences(probe(module, method, inputs, at->second, options), profile);
  if (wrong.empty()) return;
  std::string text = "verify: expected the geometry that the profile \"" + profile.name + "\" states, found another:";
  for (const std::string& each : wrong) text += " " + each;
  throw Error(text + " Correct the profile: `gaze probe --out` writes one.");
}

}  // namespace gaze
