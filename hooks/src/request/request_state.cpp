// SPDX-License-Identifier: MIT
#include "request/request_state.hpp"

#include <c10/core/GradMode.h>
#include <gaze/ops/device.hpp>

#include <algorithm>
#include <new>

#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"
#include "capture/tap_time.hpp"
#include "request/row_layout.hpp"

namespace gaze {
RequestState::RequestState(std::shared_ptr<Recorder> given_recorder)
    : RequestState(std::move(given_recorder), std::vector<RequestSpec>(1), Choices(1, Choices::kCaptured), true) {}

RequestState::RequestState(std::shared_ptr<Recorder> given_recorder, std::vector<RequestSpec> specs,
                           const Choices& choices)
    : RequestState(std::move(given_recorder), std::move(specs), choices, false) {}

RequestState::RequestState(std::shared_ptr<Recorder> given_recorder, std::vector<RequestSpec> specs,
                           const Choices& choices, bool automatic)
    : BoundRequest(std::move(given_recorder), this),
      automatic_(automatic),
      counted_(true),
      intake_(*recorder, automatic) {
  const TextPlace text = text_place(recorder->profile, specs);
  capture_ =
      std::make_unique<TokenCapture>(recorder->rules, text == TextPlace::Alone ? Looks::AtText : Looks::AtMedium);
  if (text == TextPlace::Beside) text_ = std::make_unique<TokenCapture>(recorder->rules, Looks::AtTextToo);
  for (size_t row = 0; row < specs.size(); ++row) {
    RequestSpec& spec = specs[row];
    const bool captured = choices[row] == Choices::kCaptured;
    const RowDetail detail = captured ? recorder->detail_of(spec) : RowDetail::No;
    try {
      intake_.open(std::move(spec), captured, rows_);
      rows_.back().detail = detail;
      if (detail != RowDetail::No && !capture_->as_tokens()->detail()) capture_->as_tokens()->keep_detail();
    } catch (const Error& error) {
      fail(error.reason(), error.what());
    }
  }
}

RequestState::RequestState(std::shared_ptr<Recorder> given_recorder, std::unique_ptr<Capture> capture)
    : BoundRequest(std::move(given_recorder), this),
      automatic_(false),
      counted_(false),
      rows_(1),
      intake_(*recorder, /*automatic=*/true),
      capture_(std::move(capture)) {}

RequestState::~RequestState() = default;

void RequestState::offer(int64_t argument, const at::Tensor& input) noexcept {
  try {
    const InsideTap inside;
    const int64_t method = method_.load(std::memory_order_relaxed);
    TokenCapture* const tokens = capture_->as_tokens();
    if (tokens == nullptr || method < 0 || !recorder->reads(method, argument)) return;
    // What it holds now is not what a replay will be given.
    if (ops::capturing(input.device())) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (failed()) return;
    intake_.take(method, argument, input, tokens->placed(), rows_);
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::enter_method() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (TokenCapture* tokens = capture_->as_tokens()) tokens->enter_method();
  if (text_) text_->enter_method();
}

void RequestState::leave_method(bool threw) noexcept {
  try {
    const InsideTap inside;
    const std::lock_guard<std::mutex> lock(mutex_);
    TokenCapture* const tokens = capture_->as_tokens();
    const std::unique_ptr<RecordedStep> recorded = std::move(recorded_);
    if (tokens == nullptr || !open.load() || failed()) return;
    if (recorded && !threw) recorded->end();
    tokens->leave_method(threw);
    if (claims_replays()) {
      for (const auto& rows : replays->rows) {
        if (!ops::capturing(rows->shape().device)) rows->mark();
      }
    }
    with_text([&](TokenCapture& text) { text.leave_method(threw); });
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::push(int64_t site, const at::Tensor& tapped, const WeightsLayout& layout) noexcept {
  try {
    const InsideTap inside;
    if (!wants(site)) return;
    const TapTime time(tap_nanoseconds_);
    accept(site, "weights", tapped);
    const at::Tensor weights = materialised(tapped);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load()) return;
    const auto rows = static_cast<int64_t>(capture_->as_tokens() != nullptr ? rows_.size() : 0);
    take(site, WeightsCall(arrange(weights, layout, rows, recorder->rules.name(site)), layout.partial));
  } catch (...) {
    fail_at(site);
  }
}

void RequestState::push(int64_t site, const ops::Scores& scores) noexcept {
  try {
    const InsideTap inside;
    if (!wants(site)) return;
    const TapTime time(tap_nanoseconds_);
    accept(site, "queries", scores.q_bhqd);
    accept(site, "keys", scores.k_bhkd);
    ops::Scores whole = scores;
    if (whole.mask && whole.mask->defined()) {
      accept(site, "a mask", *whole.mask);
      whole.mask = materialised(*whole.mask);
    }
    whole.q_bhqd = materialised(whole.q_bhqd);
    whole.k_bhkd = materialised(whole.k_bhkd);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load()) return;
    take(site, ScoresCall(flatten(std::move(whole))));
  } catch (...) {
    fail_at(site);
  }
}

void RequestState::push(int64_t site, const PackedAttention& packed) noexcept {
  try {
    const InsideTap inside;
    if (!wants(site)) return;
    if (recorder->rules.is_encoder(site)) return keep_encoder(site, packed);
    for (const at::Tensor* input : {&packed.q_input, &packed.k_input}) {
      if (!is_plain_batch(*input)) accept(site, "an input", *input);
    }
    accept(site, "a projection's weights", packed.weight);
    for (const auto* optional : {&packed.bias, &packed.mask, &packed.norm_weight, &packed.norm_bias}) {
      if (*optional && (*optional)->defined()) accept(site, "a bias, mask or norm", **optional);
    }
    const at::NoGradGuard no_grad;
    const ProjectedScores scores = scores_of(packed);
    push(site, ops::Scores{scores.q_bhqd, scores.k_bhkd, scores.mask});
  } catch (...) {
    fail_at(site);
  }
}

void RequestState::keep_encoder(int64_t site, const PackedAttention& packed) {
  const bool plain = is_plain(packed.q_input) && is_plain(packed.k_input) && packed.q_input.dim() == 3;
  const std::lock_guard<std::mutex> lock(mutex_);
  TokenCapture* const tokens = capture_->as_tokens();
  if (tokens == nullptr || !open.load()) return;
  if (plain) {
    take(site, PackedCall(packed));
  } else {
    tokens->leave_encoder();
  }
}

void RequestState::place(TokenCapture& tokens, const AttentionCall& call) {
  intake_.fit(call.batch(), rows_);
  if (tokens.of_text()) return tokens.place(place_text(rows_, call), call.keys());
  std::vector<RowPlace> places = place_rows(rows_, recorder->profile, intake_.prompt_spans(), tokens, call);
  if (claims_replays()) stay_at_keys(places);
  tokens.place(std::move(places), call.keys());
}

void RequestState::take(int64_t site, const AttentionCall& call) {
  TokenCapture* const tokens = capture_->as_tokens();
  if (tokens != nullptr && ops::capturing(call.device())) return record(site, call);
  if (tokens != nullptr && tokens->needs_place(site, call)) place(*tokens, call);
  if (capture_->wants(site)) capture_->on_call(site, call);
  if (!wants_text(site)) return;
  with_text([&](TokenCapture& text) {
    if (text.needs_place(site, call)) place(text, call);
    text.on_call(site, call);
  });
}

void RequestState::record(int64_t site, const AttentionCall& call) {
  TokenCapture& tokens = *capture_->as_tokens();
  if (recorder->rules.is_encoder(site)) return tokens.leave_encoder();
  if (wants_text(site)) with_text([&](TokenCapture&) { refuse_while_capturing(call.device()); });
  if (!tokens.wants(site)) return;
  // What its rows are made of, or where its step ends, no replay tells.
  if (tokens.of_text() || recorder->profile.through || !tokens.in_method()) refuse_while_capturing(call.device());
  if (!recorded_) recorded_ = std::make_unique<RecordedStep>(recorder->rules, rows_for_graph(tokens, call));
  recorded_->add(site, call);
}

std::shared_ptr<ReplayedRows> RequestState::rows_for_graph(TokenCapture& tokens, const AttentionCall& call) {
  RecordedStep::check(recorder->rules);
  intake_.fit(call.batch(), rows_);
  // What the device holds now is not what it will at a replay: places are found without.
  std::vector<RowPlace> places = place_rows(rows_, recorder->profile, intake_.prompt_spans(), tokens,
                                            UnseenCall(call.batch(), call.keys(), call.device()));
  stay_at_keys(places);
  for (const MediumPlace& place : places.front().media) {
    if (place.geometry && place.geometry->time && place.geometry->time->whole) refuse_while_capturing(call.device());
  }
  return recorder->replays.rows_for_graph({call.device(), call.batch(), common_spans(places, call.keys())}, call.keys(),
                                          recorder->rules.max_tokens, recorder->rules.budget_bytes);
}

std::shared_ptr<const ReplayedCopies> RequestState::replayed(TokenCapture& tokens, const ReplayClaim& claim) {
  if (claim.rows.empty() || tokens.of_text()) return nullptr;
  auto copies = std::make_shared<ReplayedCopies>();
  for (const auto& rows : claim.rows) {
    const ReplayedRows::Shape& shape = rows->shape();
    refuse_while_capturing(shape.device);
    if (!tokens.placed()) place(tokens, UnseenCall(static_cast<int64_t>(rows_.size()), rows->keys(), shape.device));
    ReplayedCopies::Of& of = copies->all.emplace_back();
    of.shape = shape;
    of.spoilt = rows->spoilt();
    of.copy = rows->copy();
    for (const ReplayedRows::SiteCalls& calls : rows->sites()) {
      of.sites.push_back(site_use(*recorder, tokens, calls.site, calls.heads, 1));
      of.gathers = of.gathers || recorder->sites[calls.site].gathers_rows;
    }
  }
  copies->overlapped = claim.overlapped.load(std::memory_order_acquire);
  return copies;
}

void RequestState::with_text(c10::function_ref<void(TokenCapture&)> act) noexcept {
  if (!text_ || !text_open_.load(std::memory_order_relaxed)) return;
  try {
    act(*text_);
  } catch (...) {
    text_open_.store(false, std::memory_order_release);
    char why[512];
    text_of_current_exception(why, sizeof why);
    try {
      text_left_out_ = why;
    } catch (const std::bad_alloc&) {  // left out without a word
    }
    text_->release();
  }
}

void RequestState::accept(int64_t site, const char* what, const at::Tensor& tensor) const {
  if (is_plain(tensor)) return;
  throw Error(recorder->rules.name(site) + ": expected " + what + " in dense memory, got a tensor of " +
                  describe_kind(tensor) + ". Leave the site out of the profile, or give the model dense tensors.",
              DropReason::UnsupportedTensor);
}

void RequestState::fail_at(int64_t site) noexcept {
  if (!capture_->wants(site) && text_) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return with_text([](TokenCapture&) { throw; });
  }
  if (!recorder->rules.is_encoder(site)) return fail_with_current_exception();
  // The map is as good without.
  const std::lock_guard<std::mutex> lock(mutex_);
  if (TokenCapture* tokens = capture_->as_tokens(); tokens != nullptr && open.load()) tokens->leave_encoder();
}

void RequestState::fail_with_current_exception() noexcept {
  const DropReason reason = reason_of_current_exception(DropReason::HookException);
  char text[1024];
  text_of_current_exception(text, sizeof text);
  try {
    fail(reason, std::string(text));
  } catch (const std::bad_alloc&) {
    fail_plainly(reason, "capture: not enough memory");
  }
}

void RequestState::fail(DropReason reason, std::string text) noexcept {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  if (failed()) return;
  error_reason_ = reason;
  error_ = std::move(text);
  failed_.store(true, std::memory_order_release);
}

void RequestState::fail_plainly(DropReason reason, const char* literal) noexcept {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  if (failed()) return;
  error_reason_ = reason;
  error_literal_ = literal;
  failed_.store(true, std::memory_order_release);
}

void RequestState::refuse(DropReason reason, const std::string& text) noexcept {
  try {
    fail(reason, text);
  } catch (const std::bad_alloc&) {
    fail_plainly(reason, "capture: not enough memory");
  }
}

std::string RequestState::error() const {
  const std::lock_guard<std::mutex> lock(error_mutex_);
  return error_literal_ != nullptr ? error_literal_ : error_;
}

void RequestState::label(std::vector<std::string> tokens, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row >= rows_.size()) return;
    rows_[row].named = static_cast<int64_t>(tokens.size());
    rows_[row].labels = std::move(tokens);
    rows_[row].spelling = nullptr;
  } catch (...) {
    fail_plainly(DropReason::HostBudget, "label: not enough memory");
  }
}

void RequestState::tokens(const std::vector<int64_t>& ids, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row >= rows_.size()) return;
    rows_[row].name(ids, *recorder->vocabulary, recorder->profile);
  } catch (...) {
    fail_plainly(DropReason::HostBudget, "tokens: not enough memory");
  }
}

int64_t RequestState::add_waiting() {
  TokenCapture* const tokens = capture_->as_tokens();
  if (tokens == nullptr) return 0;
  tokens->add_waiting();
  with_text([](TokenCapture& text) { text.add_waiting(); });
  return tokens->tokens();
}

void RequestState::sound(Sound recording, size_t row) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load() || row >= rows_.size()) return;
    intake_.sound(std::move(recording), rows_[row]);
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::window(double start_seconds, double seconds) noexcept {
  try {
    const InsideTap inside;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open.load() || failed()) return;
    // What waits: their keys are those of the part before.
    const int64_t tokens = add_waiting();
    windows_moved_ = windows_moved_ || !windows_.empty();
    if (tokens > 0 && windows_.empty()) windows_.push_back({});
    if (!windows_.empty() && windows_.back().first_token == tokens) windows_.pop_back();
    windows_.push_back({tokens, start_seconds, seconds});
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::opt_out(size_t row) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!open.load() || row >= rows_.size() || !rows_[row].captured) return;
  rows_[row].captured = false;
  rows_[row].spec.image = Picture();
  rows_[row].spec.sound = Sound();
  rows_[row].spec.prompt.clear();
  recorder->counters->dropped(DropReason::Withdrawn);
}

bool RequestState::captures(size_t row) const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  return open.load() && row < rows_.size() && rows_[row].captured;
}

int64_t RequestState::captured_rows() const {
  return std::count_if(rows_.begin(), rows_.end(), [](const RequestRow& row) { return row.captured; });
}

void RequestState::step() noexcept {
  try {
    const std::lock_guard<std::mutex> lock(numbered->mutex);
    run(0);
    numbered->order.step();
    if (!numbered->order.problem().empty()) refuse(DropReason::SiteOrder, numbered->order.problem());
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::finish() noexcept {
  if (!open.exchange(false)) return;
  unbind(*this);
  const InsideTap inside;
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::unique_ptr<ReplayClaim> claim = std::move(replays);
  TokenCapture* const tokens = capture_->as_tokens();
  if (tokens == nullptr || !counted_) return;
  if (numbered && !failed()) {
    const std::lock_guard<std::mutex> order_lock(numbered->mutex);
    numbered->order.end();
    if (!numbered->order.problem().empty()) refuse(DropReason::SiteOrder, numbered->order.problem());
  }
  std::shared_ptr<const ReplayedCopies> copies;
  try {
    if (!failed()) {
      tokens->conclude();
      with_text([](TokenCapture& text) { text.conclude(); });
      if (claim) copies = replayed(*tokens, *claim);
    }
  } catch (...) {
    fail_with_current_exception();
  }
  recorder->counters->taps(tokens->calls(), tokens->tokens_dropped(), tap_nanoseconds_.load());
  if (automatic_ && tokens->calls() == 0 && !failed()) {
    // A method without attention, an encoder say: nobody asked for a bundle of it.
    recorder->counters->dropped(DropReason::NoAttention, captured_rows());
  } else {
    send(*tokens, std::move(copies));
  }
  release();
}

void RequestState::release() noexcept {
  rows_.clear();
  if (TokenCapture* tokens = capture_->as_tokens()) tokens->release();
  if (text_) text_->release();
}

void RequestState::send(TokenCapture& capture, std::shared_ptr<const ReplayedCopies> replayed) noexcept {
  int64_t named_by_batch = 0;
  for (const RequestRow& row : rows_) named_by_batch = std::max(named_by_batch, row.named);
  for (size_t index = 0; index < rows_.size(); ++index) {
    if (!rows_[index].captured) continue;
    try {
      SharedFacts facts;
      facts.method = method_.load(std::memory_order_relaxed);
      facts.windows = windows_;
      facts.windows_moved = windows_moved_;
      facts.named_by_batch = named_by_batch;
      facts.open_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun_).count();
      if (failed()) facts.error = {error(), error_reason_};
      facts.text = text_ && text_open_.load() ? text_.get() : nullptr;
      facts.text_left_out = text_left_out_;
      facts.replayed = replayed;
      BuiltRecord built = build_record(rows_[index], index, capture, facts, *recorder);
      recorder->worker->push(std::move(built.record), std::move(built.rest));
    } catch (...) {
      recorder->counters->dropped(reason_of_current_exception(DropReason::HookException));
    }
  }
}

void RequestState::finish_beside_recordings() noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (TokenCapture* tokens = capture_->as_tokens()) {
      for (const c10::Stream& stream : tokens->streams()) ops::allow_calls_while_capturing(stream.device());
    }
  } catch (...) {  // without the part for that device nothing was captured on it
  }
  finish();
}

void RequestState::discard(DropReason reason) noexcept {
  if (!open.exchange(false)) return;
  unbind(*this);
  if (!counted_) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  replays.reset();
  recorder->counters->dropped(reason, captured_rows());
  release();
}

}  // namespace gaze
