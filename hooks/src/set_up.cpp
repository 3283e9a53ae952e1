// SPDX-License-Identifier: MIT
#include "set_up.hpp"

#include <algorithm>
#include <new>
#include <string_view>
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

std::shared_ptr<Sink> sink_of(const Options& options) {
  if (options.sink) return options.sink;
  return as_options_say(options, [&] { return std::make_shared<BundleSink>(bundle_options(options)); });
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
  log.info("attached" + (model.empty() ? "" : " " + model) + ": " + std::to_string(sites.size()) + " sites, " +
           recorder.sites.layers_text() + ", out_dir " + recorder.options.out_dir);
}

}  // namespace

const char* variable_behind(const Error& error, const Options& options) {
  if (!options.read_environment) return nullptr;
  const std::string_view text = error.what();
  if (text.starts_with("signing_key:")) return is_set("GAZE_SIGNING_KEY") ? "GAZE_SIGNING_KEY" : nullptr;
  for (const auto& [argument, variable] : {std::pair("layers:", "GAZE_LAYERS"), std::pair("heads:", "GAZE_HEADS")}) {
    if (text.starts_with(argument) && is_set(variable)) return variable;
  }
  return !options.profile_in_code && is_set("GAZE_PROFILE") ? "GAZE_PROFILE" : nullptr;
}

Profile checked_profile(const Options& options) {
  check_ranges(options);
  if (options.profile_in_code) return *options.profile_in_code;
  if (options.profile.empty()) return {};
  return as_options_say(options, [&] { return read_profile(options.profile); });
}

RecordDelivery start_delivery(const Options& options, const std::shared_ptr<const Log>& log) {
  auto counters = std::make_shared<Counters>();
  auto held = std::make_shared<HeldAnswers>();
  auto worker =
      std::make_unique<Worker>(std::make_shared<CompletingSink>(sink_of(options), options.model_path, counters, log),
                               options.queue_bytes, counters, log, held);
  return {std::move(counters), std::move(held), std::move(worker)};
}

void claim(const std::shared_ptr<Recorder>& recorder, const RecordDelivery& delivery) {
  recorder->counters = delivery.counters;
  recorder->held = delivery.held;
  if (recorder->model.claim(recorder)) return;
  throw Error(
      "attach: expected a module without a live capture, got one that is attached already. Keep and use the first "
      "handle.");
}

void go_live(Recorder& recorder, RecordDelivery&& delivery, const std::string& model, const Log& log) {
  recorder.worker = std::move(delivery.worker);
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
