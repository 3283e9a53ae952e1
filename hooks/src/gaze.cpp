// SPDX-License-Identifier: MIT
// The facade but for attach. Knows no TorchScript.
#include <gaze/gaze.hpp>

#include "capture/exact_capture.hpp"
#include "request/attached_model.hpp"
#include "request/call_frames.hpp"
#include "request/recorder.hpp"
#include "request/request_state.hpp"

namespace gaze {
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
void Request::reorder_tokens(const std::vector<std::vector<int64_t>>& rows) noexcept {
  if (RequestState* state = captured()) state->reorder_tokens(rows);
}
void Request::sound(Sound recording, size_t row) noexcept {
  if (RequestState* state = captured()) state->sound(std::move(recording), row);
}
void Request::window(double start_seconds, double seconds) noexcept {
  if (RequestState* state = captured()) state->window(start_seconds, seconds);
}
void Request::opt_out(size_t row) noexcept {
  if (RequestState* state = captured()) state->opt_out(row);
}
void Request::finish() noexcept {
  if (RequestState* state = captured()) {
    state->finish();
  } else if (bound_) {
    unbind(*bound_);
  }
}
Request::operator bool() const noexcept { return captured() != nullptr && bound_->open.load(); }
bool Request::captures(size_t row) const noexcept { return *this && captured()->captures(row); }

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

namespace {

void count_begun(const Choices& choices, Counters& counters) noexcept {
  counters.sampled(choices.captured());
  for (size_t row = 0; row < choices.size(); ++row) {
    if (choices[row] != Choices::kCaptured) counters.declined(choices[row], 1);
  }
}

}  // namespace

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
  bool counted = false;
  end_answer(&recorder_->model);
  int64_t captured = 0;
  std::shared_ptr<BoundRequest> bound;
  try {
    const Choices choices = recorder_->control->decide(batch, recorder_->sample());
    captured = choices.captured();
    count_begun(choices, *recorder_->counters);
    counted = true;
    bound = captured > 0 ? std::make_shared<RequestState>(recorder_, std::move(batch), choices)
                         : std::make_shared<BoundRequest>(recorder_, nullptr);
    bound->replays = recorder_->replays.begin(count, captured > 0);
    if (captured > 0 && recorder_->model.numbered)
      bound->numbered = std::make_unique<NumberedCalls>(recorder_->model.step_sites);
    bind_newest(bound);
    return Request(std::move(bound));
  } catch (...) {
    if (bound) bound->open.store(false);
    if (!counted) recorder_->counters->sampled(captured = count);
    recorder_->counters->dropped(reason_of_current_exception(DropReason::HostBudget), captured);
    return {};
  }
}

void Gaze::step() noexcept {
  if (!recorder_ || !recorder_->model.numbered) return;
  BoundRequest* const bound = bound_to(&recorder_->model);
  if (bound == nullptr || !bound->numbered || bound->thread != std::this_thread::get_id()) return;
  bound->captured->step();
}

std::vector<ExactWeights> Gaze::capture_weights(const std::function<void()>& call) {
  if (!enabled())
    throw Error(
        "capture_weights: expected capture to be on, got an inert handle. Set GAZE_CAPTURE=1 or options.capture.");
  auto capture = std::make_unique<ExactCapture>(recorder_->rules);
  std::vector<ExactWeights>& kept = capture->kept;
  const auto state = std::make_shared<RequestState>(recorder_, std::move(capture));
  if (recorder_->model.numbered) state->numbered = std::make_unique<NumberedCalls>(recorder_->model.step_sites);
  bind_newest(state);
  try {
    call();
  } catch (...) {
    state->discard();
    throw;
  }
  state->discard();
  if (const std::string error = state->error(); !error.empty()) throw Error("capture_weights: " + error);
  return std::move(kept);
}

void Gaze::control(const Control& control) {
  if (recorder_) recorder_->control->set(control);
}

Control Gaze::control() const { return recorder_ ? recorder_->control->get() : Control{.capture = false}; }

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
  recorder_->model.release(recorder_.get());
  recorder_->held->finish();
  if (recorder_->worker) recorder_->worker->shutdown(timeout);
}

}  // namespace gaze
