// SPDX-License-Identifier: MIT
#include "set_up.hpp"

#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "config/environment.hpp"
#include "delivery/completing_sink.hpp"
#include "request/attached_model.hpp"

namespace gaze {
namespace {

void check_ranges(const Options& options) {
  if (options.max_tokens < 1)
    throw Error("options.max_tokens: expected at least 1, got " + std::to_string(options.max_tokens) + ".");
  if (options.deferred_tokens < 0 || options.deferred_tokens == 1 || options.deferred_tokens > 32)
    throw Error("options.deferred_tokens: expected 0 or 2 to 32, got " + std::to_string(options.deferred_tokens) + ".");
}

Control control_of(const Options& options) {
  Control control;
  control.sample_rate = options.sample_rate;
  control.next = options.next;
  control.ids = options.ids;
  control.prompts = options.prompts;
  control.per_second = options.per_second;
  control.keep = options.keep;
  return control;
}

std::string absolute(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::absolute(path, failed);
  return failed ? path : whole.lexically_normal().string();
}

Operations::Identity identity_of(const Recorder& recorder) {
  const AttentionRecord blank = recorder.blank_record();
  using namespace std::chrono;
  return {.model = blank.profile,
          .model_sha256 = blank.parameters_sha256,
          .profile_sha256 = blank.profile_sha256,
          .torch_version = TORCH_VERSION,
          .layers = blank.layers,
          .sites = static_cast<int64_t>(recorder.model.sites.size()),
          .attached_ms = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count(),
          .queue_budget_bytes = recorder.options.queue_bytes};
}

void tell(const Recorder& recorder, const std::string& model, const Log& log) {
  const std::vector<Site>& sites = recorder.model.sites;
  const auto gathers = std::find_if(sites.begin(), sites.end(), [](const Site& site) { return site.gathers_rows; });
  if (gathers != sites.end()) {
    log.warn("attach: " + gathers->name +
             " runs in a loop of the model that gathers its batch anew, as a beam search does: in a batch, maps are of "
             "rows, not of beams, and are flagged \"gathered\". Run one row, or drive the search from the host and "
             "call Request::reorder.");
  }
  const Options& options = recorder.options;
  const std::string profile = recorder.profile.name.empty() ? "no profile" : "profile " + recorder.profile.name;
  const std::string where = options.sink ? "answers go to the host's own sink"
                                         : "bundles, status.json and control.txt in " + absolute(options.out_dir);
  char rate[32];
  std::snprintf(rate, sizeof rate, "%g", 100 * options.sample_rate);
  log.info("attached" + (model.empty() ? "" : " " + model) + ": capture is on for " + rate + " % of the requests; " +
           std::to_string(sites.size()) + " sites, " + recorder.sites.layers_text() + "; " + profile + "; " + where +
           ".");
}

}  // namespace

const char* variable_behind(const Error& error, const Options& options) {
  if (!options.read_environment) return nullptr;
  const std::string_view text = error.what();
  if (text.starts_with("signing_key:")) return is_set("GAZE_SIGNING_KEY") ? "GAZE_SIGNING_KEY" : nullptr;
  for (const auto& [argument, variable] :
       {std::pair("layers:", "GAZE_LAYERS"), std::pair("heads:", "GAZE_HEADS"), std::pair("hash_key", "GAZE_CONTENT"),
        std::pair("hash_key", "GAZE_HASH_KEY")}) {
    if (text.starts_with(argument) && is_set(variable)) return variable;
  }
  if (text.starts_with("hash_key")) return nullptr;
  return !options.profile_in_code && is_set("GAZE_PROFILE") ? "GAZE_PROFILE" : nullptr;
}

Profile checked_profile(const Options& options) {
  check_ranges(options);
  if (options.profile_in_code) return *options.profile_in_code;
  if (options.profile.empty()) return {};
  return as_options_say(options, [&] { return read_profile(options.profile); });
}

RecordDelivery start_delivery(const Options& options, const std::shared_ptr<const Log>& log) {
  Guard guard = as_options_say(options, [&] { return guard_of(options.content, options.hash_key, options.redact); });
  auto counters = std::make_shared<Counters>();
  auto held = std::make_shared<HeldAnswers>();
  auto control = std::make_shared<ControlState>(control_of(options));
  std::shared_ptr<BundleSink> bundles;
  if (!options.sink)
    bundles = as_options_say(options, [&] { return std::make_shared<BundleSink>(bundle_options(options)); });
  const std::shared_ptr<Sink> sink = bundles ? bundles : options.sink;
  auto operations =
      std::make_shared<Operations>(Operations::Places{bundles, absolute(options.out_dir), options.strict_out_dir,
                                                      options.metrics_file, options.otel_dir, options.drift_baseline},
                                   counters, control, log, held);
  if (bundles) {
    bundles->on_measured([weak = std::weak_ptr<Operations>(operations)](const AnswerFigures& figures) {
      const auto all = weak.lock();
      return !all || all->measured(figures);
    });
    bundles->on_published([weak = std::weak_ptr<Operations>(operations), told = options.on_published](
                              const std::string& id, const std::string& path) {
      if (const auto all = weak.lock()) all->published(path);
      try {
        if (told) told(id, path);
      } catch (...) {  // the bundle is there
      }
    });
  }
  auto worker = std::make_unique<Worker>(std::make_shared<CompletingSink>(sink, options.model_path, counters, log),
                                         options.queue_bytes, counters, log, operations, std::move(guard));
  return {std::move(counters), std::move(held), std::move(control), std::move(operations), std::move(worker)};
}

void claim(const std::shared_ptr<Recorder>& recorder, const RecordDelivery& delivery) {
  recorder->counters = delivery.counters;
  recorder->held = delivery.held;
  recorder->control = delivery.control;
  if (recorder->model.claim(recorder)) return;
  throw Error(
      "attach: expected a module without a live capture, got one that is attached already. Keep and use the first "
      "handle.");
}

void go_live(Recorder& recorder, RecordDelivery&& delivery, const std::string& model, const Log& log) {
  recorder.worker = std::move(delivery.worker);
  delivery.operations->begin(identity_of(recorder));
  recorder.active.store(true);
  tell(recorder, model, log);
}

std::shared_ptr<Recorder> when_wanted(
    Options options,
    c10::function_ref<std::shared_ptr<Recorder>(const Options&, const std::shared_ptr<const Log>&)> attach) {
  if (!capture_wanted(options)) return nullptr;
  try {
    std::vector<std::string> warnings;
    if (options.read_environment) options = from_environment(std::move(options), &warnings);
    const auto log = std::make_shared<const Log>(options.log, options.on_log);
    for (const auto& warning : warnings) log->warn(warning);
    if (!options.capture) return nullptr;
    try {
      return attach(options, log);
    } catch (const SetFromOutside& fault) {
      log->error(fault.what());
      return nullptr;
    }
  } catch (const std::bad_alloc&) {
    throw Error("attach: expected memory for the capture, got none. The model runs without.", DropReason::HostBudget);
  }
}

}  // namespace gaze
