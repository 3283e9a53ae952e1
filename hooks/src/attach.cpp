// SPDX-License-Identifier: MIT
// A capture is put together: profile, front end, worker, and the check that it changes nothing.
#include <torch/csrc/jit/api/module.h>
#include <gaze/gaze.hpp>
#include <gaze/hooks/probe.hpp>

#include <algorithm>
#include <new>
#include <optional>
#include <string_view>

#include "config/environment.hpp"
#include "config/log.hpp"
#include "delivery/completing_sink.hpp"
#include "request/recorder.hpp"
#include "torchscript/instrument.hpp"
#include "torchscript/self_check.hpp"

namespace gaze {
namespace {

/// A fault of set-up that a variable of the environment is to blame for, not the host's code.
class SetFromOutside : public Error {
 public:
  SetFromOutside(const char* variable, const Error& error)
      : Error(std::string(variable) + ": capture stays off: " + error.what(), error.reason()) {}
};

/// Which variable said what `error` complains of; null where the host's code did.
const char* variable_behind(const Error& error, const Options& options) {
  if (!options.read_environment) return nullptr;
  const std::string_view text = error.what();
  for (const auto& [argument, variable] : {std::pair("layers:", "GAZE_LAYERS"), std::pair("heads:", "GAZE_HEADS")}) {
    if (text.starts_with(argument) && is_set(variable)) return variable;
  }
  return !options.profile_in_code && is_set("GAZE_PROFILE") ? "GAZE_PROFILE" : nullptr;
}

/// Work that the profile, layers and heads decide about.
template <class Work>
auto as_options_say(const Options& options, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (const char* variable = variable_behind(error, options)) throw SetFromOutside(variable, error);
    throw;
  }
}

void check(const Options& options) {
  if (options.max_tokens < 1)
    throw Error("options.max_tokens: expected at least 1, got " + std::to_string(options.max_tokens) + ".");
  if (options.deferred_tokens < 0 || options.deferred_tokens == 1 || options.deferred_tokens > 32)
    throw Error("options.deferred_tokens: expected 0 or 2 to 32, got " + std::to_string(options.deferred_tokens) + ".");
}

Profile profile_of(const Options& options) {
  if (options.profile_in_code) return *options.profile_in_code;
  if (options.profile.empty()) return {};
  return as_options_say(options, [&] { return read_profile(options.profile); });
}

void measure_geometry(const torch::jit::Module& module, const Options& options, const Profile& profile,
                      const std::vector<c10::IValue>* example_inputs) {
  as_options_say(options, [&] {
    if (example_inputs == nullptr) {
      throw Error(
          "attach: example_inputs: expected those of forward, or of a method that the profile names, on which "
          "`verify` measures the geometry, got none. Give them, or set verify to false.");
    }
    verify(module, profile, *example_inputs);
  });
}

std::shared_ptr<Sink> sink_of(const Options& options) {
  if (options.sink) return options.sink;
  BundleOptions bundle;
  bundle.out_dir = options.out_dir;
  bundle.strict_out_dir = options.strict_out_dir;
  bundle.format = options.format;
  bundle.delivery = options.delivery;
  bundle.word_files = options.word_files;
  bundle.maps = options.maps || options.delivery == Delivery::Map;
  return std::make_shared<BundleSink>(bundle);
}

/// False, and said, when the taps change something.
bool changes_nothing(const SelfCheck& example, const torch::jit::Module& module,
                     const std::shared_ptr<Recorder>& recorder, const Log& log) {
  try {
    if (example.passes(module, recorder)) return true;
  } catch (...) {
    recorder->instrumented.release(recorder.get());
    throw;
  }
  recorder->counters->self_check_failed();
  recorder->instrumented.release(recorder.get());
  log.error(
      "attach: the example's outputs with taps differ from those without; capture stays off for this module. "
      "A model that is random or keeps state between calls cannot be checked: attach without example_inputs.");
  return false;
}

void tell(const Recorder& recorder, const Options& options, const Log& log) {
  const std::vector<Site>& sites = recorder.instrumented.sites;
  const auto gathers = std::find_if(sites.begin(), sites.end(), [](const Site& site) { return site.gathers_rows; });
  if (gathers != sites.end()) {
    log.warn("attach: " + gathers->name +
             " runs in a loop of the model that gathers its batch anew, as a beam search does: in a batch, maps are of "
             "rows, not of beams, and are flagged \"gathered\". Run one row, or drive the search from the host and "
             "call Request::reorder.");
  }
  log.info("attached: " + std::to_string(sites.size()) + " sites, " + recorder.layers_text + ", out_dir " +
           options.out_dir);
}

/// @throws as attach, and std::bad_alloc
std::shared_ptr<Recorder> attach_on(torch::jit::Module& module, const Options& options,
                                    const std::vector<c10::IValue>* example_inputs,
                                    const std::shared_ptr<const Log>& log) {
  check(options);
  Profile profile = profile_of(options);
  if (find_sites(module).sites.empty()) {
    throw Error(
        "attach: expected a module with attention (softmax between two products, or scaled_dot_product_attention), "
        "found none. `gaze sites MODEL.pt` shows what was looked at.");
  }
  if (profile.verify) measure_geometry(module, options, profile, example_inputs);
  std::optional<SelfCheck> example;
  if (example_inputs != nullptr) example.emplace(module, profile, *example_inputs);

  // Started first: without a thread the module stays as it was.
  auto counters = std::make_shared<Counters>();
  auto held = std::make_shared<HeldAnswers>();
  auto worker =
      std::make_unique<Worker>(std::make_shared<CompletingSink>(sink_of(options), options.model_path, counters, log),
                               options.queue_bytes, counters, log, held);

  Instrumented& instrumented = instrument(module);
  auto recorder =
      as_options_say(options, [&] { return std::make_shared<Recorder>(options, std::move(profile), instrumented); });
  recorder->counters = std::move(counters);
  recorder->held = std::move(held);
  if (!instrumented.claim(recorder)) {
    throw Error(
        "attach: expected a module without a live capture, got one that is attached already. Keep and use the first "
        "handle.");
  }
  if (example && !changes_nothing(*example, module, recorder, *log)) return recorder;
  recorder->worker = std::move(worker);
  recorder->active.store(true);
  tell(*recorder, options, *log);
  return recorder;
}

}  // namespace

Gaze attach(torch::jit::Module& module, Options options, const std::vector<c10::IValue>* example_inputs) {
  // Off is free: not even an allocation, which would move everything the host allocates later.
  if (!capture_wanted(options)) return {};
  try {
    std::vector<std::string> warnings;
    if (options.read_environment) options = from_environment(std::move(options), &warnings);
    const auto log = std::make_shared<const Log>(options.log, options.on_log);
    for (const auto& warning : warnings) log->warn(warning);
    if (!options.capture) return {};
    try {
      return Gaze(attach_on(module, options, example_inputs, log));
    } catch (const SetFromOutside& fault) {  // must not keep a server from starting
      log->error(fault.what());
      return {};
    }
  } catch (const std::bad_alloc&) {
    throw Error("attach: expected memory for the capture, got none. The model runs without.", DropReason::HostBudget);
  }
}

}  // namespace gaze
