// SPDX-License-Identifier: MIT
// The facade. The only file beside the taps that sees TorchScript values.
#include <torch/csrc/jit/api/module.h>
#include <gaze/gaze.hpp>
#include <gaze/hooks/probe.hpp>

#include <new>
#include <string_view>

#include "config/environment.hpp"
#include "config/log.hpp"
#include "delivery/completing_sink.hpp"
#include "request/call_frames.hpp"
#include "request/recorder.hpp"
#include "request/request_state.hpp"
#include "torchscript/example_inputs.hpp"
#include "torchscript/instrument.hpp"

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

void append_bytes(const c10::IValue& value, std::string& out) {
  if (value.isTensor()) {
    const at::Tensor tensor = value.toTensor().detach().cpu().contiguous();
    out += c10::str(tensor.scalar_type(), tensor.sizes(), ";");
    out.append(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  } else if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) append_bytes(element, out);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) append_bytes(element, out);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      append_bytes(entry.key(), out);
      append_bytes(entry.value(), out);
    }
  } else {
    out += c10::str(value, ";");
  }
}

std::string outputs_of(const torch::jit::Module& module, const std::string& method,
                       const std::vector<c10::IValue>& inputs) {
  const at::NoGradGuard no_grad;
  std::string bytes;
  append_bytes(module.get_method(method)(inputs), bytes);
  return bytes;
}

}  // namespace

Request::Request() noexcept = default;
Request::Request(std::shared_ptr<BoundRequest> bound) noexcept : bound_(std::move(bound)) {}
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(Request&& other) noexcept {
  if (this != &other) {
    close();
    bound_ = std::move(other.bound_);
  }
  return *this;
}
Request::~Request() { close(); }
RequestState* Request::captured() const noexcept {
  return bound_ && !bound_->recorder->forked() ? bound_->captured : nullptr;
}
void Request::close() noexcept {
  if (RequestState* state = captured()) {
    state->discard();
  } else if (bound_) {
    unbind(*bound_);
  }
}
void Request::label(std::vector<std::string> tokens, size_t row) noexcept {
  if (RequestState* state = captured()) state->label(std::move(tokens), row);
}
void Request::tokens(const std::vector<int64_t>& ids, size_t row) noexcept {
  if (RequestState* state = captured()) state->tokens(ids, row);
}
void Request::reorder(const std::vector<int64_t>& rows) noexcept {
  if (RequestState* state = captured()) state->reorder(rows);
}
void Request::sound(Sound recording, size_t row) noexcept {
  if (RequestState* state = captured()) state->sound(std::move(recording), row);
}
void Request::window(double start_seconds, double seconds) noexcept {
  if (RequestState* state = captured()) state->window(start_seconds, seconds);
}
void Request::finish() noexcept {
  if (RequestState* state = captured()) {
    state->finish();
  } else if (bound_) {
    unbind(*bound_);
  }
}
Request::operator bool() const noexcept { return captured() != nullptr && bound_->open.load(); }

Gaze::Gaze() noexcept = default;
Gaze::Gaze(std::shared_ptr<Recorder> recorder) noexcept : recorder_(std::move(recorder)) {}
Gaze::Gaze(Gaze&&) noexcept = default;
Gaze& Gaze::operator=(Gaze&& other) noexcept {
  if (this != &other) {
    shutdown();
    recorder_ = std::move(other.recorder_);
  }
  return *this;
}
Gaze::~Gaze() { shutdown(); }

bool Gaze::enabled() const noexcept { return recorder_ && recorder_->live(); }

Request Gaze::begin(RequestSpec spec) noexcept {
  if (!enabled()) return {};
  try {
    std::vector<RequestSpec> batch;
    batch.push_back(std::move(spec));
    return begin(std::move(batch));
  } catch (...) {
    recorder_->counters->sampled(1);
    recorder_->counters->dropped(DropReason::HostBudget);
    return {};
  }
}

Request Gaze::begin(std::vector<RequestSpec> batch) noexcept {
  if (!enabled() || batch.empty()) return {};
  const auto count = static_cast<int64_t>(batch.size());
  end_answer(&recorder_->instrumented);
  const bool sampled = recorder_->sample();
  sampled ? recorder_->counters->sampled(count) : recorder_->counters->not_sampled(count);
  std::shared_ptr<BoundRequest> bound;
  try {
    bound = sampled ? std::make_shared<RequestState>(recorder_, std::move(batch), false)
                    : std::make_shared<BoundRequest>(recorder_, nullptr);
    bind_newest(bound);
    return Request(std::move(bound));
  } catch (...) {
    if (bound) bound->open.store(false);
    if (sampled) recorder_->counters->dropped(reason_of_current_exception(DropReason::HostBudget), count);
    return {};
  }
}

std::vector<ExactWeights> Gaze::capture_weights(const std::function<void()>& call) {
  if (!enabled())
    throw Error(
        "capture_weights: expected capture to be on, got an inert handle. Set GAZE_CAPTURE=1 or options.capture.");
  auto state = std::make_shared<RequestState>(recorder_, std::vector<RequestSpec>(), false, RequestState::Mode::Exact);
  bind_newest(state);
  try {
    call();
  } catch (...) {
    state->discard();
    throw;
  }
  state->discard();
  if (const std::string error = state->error(); !error.empty()) throw Error("capture_weights: " + error);
  return std::move(state->exact);
}

Stats Gaze::stats() const noexcept { return recorder_ ? recorder_->counters->snapshot() : Stats(); }

bool Gaze::flush(std::chrono::milliseconds timeout) noexcept {
  if (!recorder_) return true;
  if (recorder_->forked()) return false;
  recorder_->held->finish();
  return !recorder_->worker || recorder_->worker->flush(timeout);
}

void Gaze::shutdown(std::chrono::milliseconds timeout) noexcept {
  if (!recorder_ || recorder_->forked()) return;
  recorder_->active.store(false);
  recorder_->instrumented.release(recorder_.get());
  recorder_->held->finish();
  if (recorder_->worker) recorder_->worker->shutdown(timeout);
}

namespace {

/// @throws as attach, and std::bad_alloc
std::shared_ptr<Recorder> attach_on(torch::jit::Module& module, const Options& options,
                                    const std::vector<c10::IValue>* example_inputs,
                                    const std::shared_ptr<const Log>& log) {
  if (options.max_tokens < 1)
    throw Error("options.max_tokens: expected at least 1, got " + std::to_string(options.max_tokens) + ".");
  if (options.deferred_tokens < 0 || options.deferred_tokens == 1 || options.deferred_tokens > 32)
    throw Error("options.deferred_tokens: expected 0 or 2 to 32, got " + std::to_string(options.deferred_tokens) + ".");
  Profile profile;
  if (options.profile_in_code) {
    profile = *options.profile_in_code;
  } else if (!options.profile.empty()) {
    profile = as_options_say(options, [&] { return read_profile(options.profile); });
  }
  if (find_sites(module).sites.empty()) {
    throw Error(
        "attach: expected a module with attention (softmax between two products, or scaled_dot_product_attention), "
        "found none. "
        "`gaze sites MODEL.pt` shows what was looked at.");
  }
  if (profile.verify) {
    as_options_say(options, [&] {
      if (example_inputs == nullptr) {
        throw Error(
            "attach: example_inputs: expected those of forward, or of a method that the profile names, on which "
            "`verify` measures the geometry, got none. Give them, or set verify to false.");
      }
      verify(module, profile, *example_inputs);
    });
  }
  const std::string method = example_inputs != nullptr ? example_method(module, profile, *example_inputs) : "";
  std::string untapped;
  const torch::jit::Module clone = example_inputs != nullptr ? module.clone(/*inplace=*/true) : module;
  if (example_inputs != nullptr) untapped = outputs_of(clone, method, *example_inputs);

  std::shared_ptr<Sink> sink = options.sink;
  if (!sink) {
    BundleOptions bundle;
    bundle.out_dir = options.out_dir;
    bundle.strict_out_dir = options.strict_out_dir;
    bundle.format = options.format;
    bundle.delivery = options.delivery;
    bundle.word_files = options.word_files;
    bundle.maps = options.maps || options.delivery == Delivery::Map;
    sink = std::make_shared<BundleSink>(bundle);
  }
  // Started first: without a thread the module stays as it was.
  auto counters = std::make_shared<Counters>();
  auto held = std::make_shared<HeldAnswers>();
  auto worker =
      std::make_unique<Worker>(std::make_shared<ModelSink>(std::move(sink), options.model_path, counters, log),
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
  if (example_inputs != nullptr) {
    auto state = std::make_shared<RequestState>(recorder, std::vector<RequestSpec>(), false, RequestState::Mode::Exact);
    bind_newest(state);
    std::string tapped;
    try {
      tapped = outputs_of(module, method, *example_inputs);
    } catch (...) {
      state->discard();
      instrumented.release(recorder.get());
      throw;
    }
    state->discard();
    if (tapped != untapped || outputs_of(module, method, *example_inputs) != untapped) {
      recorder->counters->self_check_failed();
      instrumented.release(recorder.get());
      log->error(
          "attach: the example's outputs with taps differ from those without; capture stays off for this module. "
          "A model that is random or keeps state between calls cannot be checked: attach without example_inputs.");
      return recorder;
    }
  }
  recorder->worker = std::move(worker);
  recorder->active.store(true);
  for (const Site& site : instrumented.sites) {
    if (!site.gathers_rows) continue;
    log->warn(
        "attach: " + site.name +
        " runs in a loop of the model that gathers its batch anew, as a beam search does: in a batch, maps are of "
        "rows, not of beams, and are flagged \"gathered\". Run one row, or drive the search from the host and "
        "call Request::reorder.");
    break;
  }
  log->info("attached: " + std::to_string(instrumented.sites.size()) + " sites, " + recorder->layers_text +
            ", out_dir " + options.out_dir);
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
