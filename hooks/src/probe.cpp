// SPDX-License-Identifier: MIT
// Runs an edited copy of a method's graph on perturbed pictures and watches its keys.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randint.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <gaze/hooks/probe.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <map>

#include "graph_sites.hpp"
#include "graph_walk.hpp"
#include "key_layout.hpp"
#include "key_watch.hpp"
#include "probe_verdict.hpp"
#include "tap_ops.hpp"

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

/// What one site's keys did.
struct Watched {
  int64_t calls = 0;    // in the present run
  at::Tensor base_km;   // float [keys, everything else]
  at::Tensor square_k;  // double [keys], of the base
  at::Tensor energy_k;  // double [keys], of the present run
  int64_t groups = 1;   // of keys per picture: attention inside windows
  std::string problem;  // why its keys cannot be compared
};

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

    const torch::jit::GraphOptimizerEnabledGuard optimise(true);
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
  void run(size_t at, const at::Tensor& argument) {
    const at::NoGradGuard no_grad;
    batch_ = argument.size(0);
    for (Watched& each : watched) {
      each.calls = 0;
      each.energy_k = at::Tensor();
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
    const at::Tensor k_km = k.detach().movedim(axis, 0).flatten(1).to(at::kFloat);
    if (!state.base_km.defined()) {
      state.base_km = k_km.clone();
      const int64_t heads = std::max(sites[static_cast<size_t>(site)].heads, sites[static_cast<size_t>(site)].kv_heads);
      const int64_t outer = k.numel() / std::max<int64_t>(1, k.size(-1) * k.size(-2));
      if (heads > 0 && outer % (heads * batch_) == 0) state.groups = outer / (heads * batch_);
      state.square_k = state.base_km.square().sum({1}, false, at::kDouble).cpu();
      return;
    }
    if (k_km.sizes() != state.base_km.sizes()) {
      state.problem = "have other sizes in other runs";
      return;
    }
    // NaN that stays NaN is no change.
    state.energy_k = (k_km - state.base_km).square().nan_to_num(0).sum({1}, false, at::kDouble).cpu();
  }

  torch::jit::Stack stack_;
  int64_t batch_ = 1;
  torch::jit::GraphExecutor executor_;
  KeyWatch watch_;
};

void refuse_unsteady(const WatchedMethod& method) {
  for (size_t i = 0; i < method.sites.size(); ++i) {
    const at::Tensor& energy_k = method.watched[i].energy_k;
    if (!energy_k.defined() || energy_k.max().item<double>() == 0) continue;
    const auto moved = energy_k.gt(0).sum().item<int64_t>();
    throw Error("probe: expected the same keys from two runs on the same input, got " + std::to_string(moved) + " of " +
                std::to_string(energy_k.numel()) + " different ones at " + method.sites[i].name +
                ". Put the module in evaluation mode, and take random crops and dropout out of it.");
  }
}

int64_t strip_of(int64_t pixels, int64_t bands) {
  const int64_t least = (pixels + bands - 1) / bands;
  // Strips that divide the picture meet the borders of cells more often.
  for (int64_t strip = least; strip <= 2 * least && 2 * strip <= pixels; ++strip) {
    if (pixels % strip == 0) return strip;
  }
  return least;
}

bool is_picture(const c10::IValue& value) {
  if (!value.isTensor() || !value.toTensor().defined() || !value.toTensor().is_floating_point()) return false;
  const at::Tensor& tensor = value.toTensor();
  const bool one_each = tensor.dim() == 5 && tensor.size(1) == 1;
  return (tensor.dim() == 4 || one_each) && tensor.size(-2) > 1 && tensor.size(-1) > 1;
}

}  // namespace

ProbeResult probe(const torch::jit::Module& module, const std::string& method,
                  const std::vector<c10::IValue>& arguments, int64_t image_argument, const ProbeOptions& options) {
  if (options.bands < 2 || options.bands > 4096)
    throw Error("probe: bands: expected 2 to 4096, got " + std::to_string(options.bands) + ".");
  if (!(options.strength > 0))
    throw Error("probe: strength: expected more than 0, got " + std::to_string(options.strength) + ".");
  if (image_argument < 0 || image_argument >= static_cast<int64_t>(arguments.size()))
    throw Error("probe: image_argument: expected an index below " + std::to_string(arguments.size()) + ", got " +
                std::to_string(image_argument) + ". Count the method's arguments from 0, without self.");
  const auto at = static_cast<size_t>(image_argument);
  if (!is_picture(arguments[at])) {
    const std::string got =
        arguments[at].isTensor() && arguments[at].toTensor().defined()
            ? c10::str(arguments[at].toTensor().scalar_type(), " ", arguments[at].toTensor().sizes())
            : arguments[at].tagKind();
    throw Error("probe: argument " + std::to_string(image_argument) +
                ": expected a picture, floating point [batch, channels, height, width], got " + got +
                ". A list of patches or of frames cannot be perturbed region by region: probe a method that takes the "
                "picture itself.");
  }
  const at::Tensor base_bchw = arguments[at].toTensor();

  ProbeResult result;
  result.method = method;
  result.image_argument = image_argument;
  result.width = base_bchw.size(-1);
  result.height = base_bchw.size(-2);
  result.strip_width = strip_of(result.width, options.bands);
  result.strip_height = strip_of(result.height, options.bands);
  StripResponse columns{
      result.width, result.strip_width, (result.width + result.strip_width - 1) / result.strip_width, {}};
  StripResponse rows{
      result.height, result.strip_height, (result.height + result.strip_height - 1) / result.strip_height, {}};
  result.runs = 2 + columns.strips + rows.strips;

  WatchedMethod watched(module, method, arguments);
  const auto begun = std::chrono::steady_clock::now();
  int64_t done = 0;
  const auto run = [&](const at::Tensor& input) {
    watched.run(at, input);
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (options.progress) options.progress(++done, result.runs, result.seconds);
  };
  run(base_bchw);
  run(base_bchw.clone());
  refuse_unsteady(watched);

  const double spread = base_bchw.to(at::kDouble).std().item<double>();
  const double largest = base_bchw.abs().max().item<double>();
  const double deviation = spread > 1e-6 * largest ? spread : 1.0;  // of a picture of one colour
  auto generator = at::detail::createCPUGenerator(options.seed);
  const at::Tensor noise_bchw =
      (at::randint(0, 2, base_bchw.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul(2).sub(1))
          .mul(options.strength * deviation)
          .to(base_bchw.options());
  const size_t sites = watched.sites.size();
  std::vector<StripResponse> columns_of(sites, columns);
  std::vector<StripResponse> rows_of(sites, rows);
  for (size_t i = 0; i < sites; ++i) {
    const Watched& site = watched.watched[i];
    const auto keys = static_cast<size_t>(site.base_km.defined() ? site.base_km.size(0) : 0);
    columns_of[i].energy_ks.resize(keys * static_cast<size_t>(columns.strips));
    rows_of[i].energy_ks.resize(keys * static_cast<size_t>(rows.strips));
  }
  for (const int64_t axis : {-1, -2}) {
    std::vector<StripResponse>& responses = axis == -1 ? columns_of : rows_of;
    for (int64_t strip = 0; strip < responses.front().strips; ++strip) {
      const int64_t first = strip * responses.front().strip;
      const int64_t length = std::min(responses.front().strip, responses.front().pixels - first);
      const at::Tensor input_bchw = base_bchw.clone();
      input_bchw.narrow(axis, first, length).add_(noise_bchw.narrow(axis, first, length));
      run(input_bchw);
      for (size_t i = 0; i < sites; ++i) {
        const Watched& site = watched.watched[i];
        if (!site.energy_k.defined()) continue;
        // A key that is zero, as a padded one, must not divide by it.
        const at::Tensor change_k = site.energy_k / site.square_k.clamp_min(1e-20);
        const double* const change = change_k.const_data_ptr<double>();
        for (int64_t k = 0; k < change_k.numel(); ++k)
          responses[i].energy_ks[static_cast<size_t>(k * responses[i].strips + strip)] = change[k];
      }
    }
  }

  for (size_t i = 0; i < sites; ++i) {
    ProbedSite& probed = result.sites.emplace_back();
    probed.site = watched.sites[i];
    const Watched& site = watched.watched[i];
    if (!site.problem.empty()) {
      probed.verdict = "cannot be probed: its keys " + site.problem;
    } else if (!site.base_km.defined()) {
      probed.verdict = "did not run";
    } else if (probed.site.channels) {
      probed.verdict = "compares channels: no key of it lies anywhere in the picture";
    } else {
      probed.keys = locate(columns_of[i], rows_of[i]);
    }
  }
  judge(result, columns_of, rows_of);
  for (size_t i = 0; i < sites; ++i) {
    ProbedSite& probed = result.sites[i];
    const int64_t groups = watched.watched[i].groups;
    if (!probed.geometry && probed.responding > 0 && groups > 1)
      probed.verdict += "; it attends inside " + std::to_string(groups) +
                        " groups of keys per picture, windows say, and which group a key is in is not in its number";
  }
  return result;
}

}  // namespace gaze
