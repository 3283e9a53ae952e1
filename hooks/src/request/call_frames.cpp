// SPDX-License-Identifier: MIT
#include "request/call_frames.hpp"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include "capture/plain_tensor.hpp"
#include "request/attached_model.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"
#include "request/request_state.hpp"

namespace gaze {
namespace {

BoundRequest& last_of(const std::shared_ptr<BoundRequest>& entered) {
  BoundRequest* last = entered.get();
  while (last->calls->next) last = last->calls->next.get();
  return *last;
}

/// Nothing belongs to it any more; what it captured goes to the worker.
void close(BoundRequest& bound) noexcept {
  if (!bound.calls->end()) return;
  if (bound.captured != nullptr) {
    bound.captured->finish();
    bound.recorder->held->let_go(bound.captured);
  } else {
    unbind(bound);
  }
}

/// Binds a request of the calls' own: captured, or one that is seen only, and whose steps are not looked at one by one.
std::shared_ptr<BoundRequest> open_unasked(const std::shared_ptr<Recorder>& recorder, int64_t method, bool sample) {
  const DropReason choice = recorder->control->decide_unasked(sample);
  const bool alone = recorder->model.forks[static_cast<size_t>(method)] != 0;
  std::shared_ptr<BoundRequest> made;
  std::shared_ptr<RequestState> state;
  // What a graph records is replayed for requests that are sampled as well.
  if (choice != Choices::kCaptured && !recorder->records_graph()) {
    recorder->counters->declined(choice, 1);
    made = std::make_shared<BoundRequest>(recorder, nullptr);
    made->calls = std::make_unique<AnswerCalls>(method, alone);
    bind_newest(made);
    return made;
  }
  recorder->counters->sampled(1);
  try {
    state = std::make_shared<RequestState>(recorder);
    state->calls = std::make_unique<AnswerCalls>(method, alone);
    state->run(method);
    recorder->held->hold(state);
    bind_newest(state);
    recorder->counters->bell().ring();  // the worker looks after what is held
    return state;
  } catch (...) {
    if (state) recorder->held->let_go(state.get());
    if (state) state->open.store(false);
    recorder->counters->dropped(DropReason::HostBudget);
    throw;
  }
}

/// A step whose answer is not known: counted, and seen only, so that those after it are told.
std::shared_ptr<BoundRequest> bind_stray(const BoundRequest& before, const AnswerSteps& steps) {
  const std::shared_ptr<Recorder>& recorder = before.recorder;
  auto made = std::make_shared<BoundRequest>(recorder, nullptr);
  made->calls = std::make_unique<AnswerCalls>(before.calls->method, false);
  made->calls->steps = steps;
  made->calls->undecided = false;
  bind_newest(made);
  recorder->counters->sampled(1);
  recorder->counters->dropped(DropReason::NoRequest);
  return made;
}

/// @param begins  the answer: then it is given what earlier calls offered, too
void hand_over(AnswerCalls& calls, RequestState* state, bool begins) noexcept {
  const std::list<AnswerCalls::Offered> offered = calls.take_offered(begins);
  if (state == nullptr) return;
  for (const AnswerCalls::Offered& each : offered) {
    state->run(each.method);
    state->offer(each.argument, each.input);
  }
  state->run(calls.method);
}

/// The request of the running call, now that its first attention is seen.
BoundRequest* decide(const std::shared_ptr<BoundRequest>& bound, const FirstAttention& first) {
  AnswerCalls& calls = *bound->calls;
  calls.undecided = false;
  switch (calls.steps.judge(first)) {
    case AnswerSteps::Verdict::Continues:
      if (calls.steps.fresh()) calls.awaited = false;  // what ran before was for this very answer
      calls.steps.begin(first);
      if (bound->captured != nullptr) {
        bound->captured->run(calls.method);
        bound->captured->enter_method();
      }
      hand_over(calls, bound->captured, false);
      return bound.get();
    case AnswerSteps::Verdict::Begins: {
      close(*bound);
      calls.next = open_unasked(bound->recorder, calls.method, calls.sample);
      calls.next->calls->undecided = false;
      calls.next->calls->steps = calls.steps.after(first);
      hand_over(calls, calls.next->captured, true);
      if (calls.next->captured != nullptr) calls.next->captured->enter_method();
      return calls.next.get();
    }
    case AnswerSteps::Verdict::Stray:
      break;
  }
  static_cast<void>(calls.take_offered(true));
  if (bound->captured != nullptr && calls.steps.fresh()) {
    // Opened for this very call.
    calls.end();
    bound->captured->discard(DropReason::NoRequest);
    bound->recorder->held->let_go(bound->captured);
    calls.next = std::make_shared<BoundRequest>(bound->recorder, nullptr);
    calls.next->calls = std::make_unique<AnswerCalls>(calls.method, false);
    calls.next->calls->undecided = false;
    calls.next->calls->steps = calls.steps.after(first);
    bind_newest(calls.next);
    return calls.next.get();
  }
  if (bound->captured == nullptr && calls.steps.fresh()) {
    calls.steps.begin(first);
    return bound.get();
  }
  close(*bound);
  calls.next = bind_stray(*bound, calls.steps.after(first));
  return calls.next.get();
}

/// The request that a call is for; null when it is not captured. Sizes of 0: not known.
RequestState* capturing(BoundRequest& bound, int64_t site, int64_t queries, int64_t keys) noexcept {
  AnswerCalls* calls = bound.calls.get();
  if (calls == nullptr || calls->alone) return bound.captured;
  const Site& called = bound.recorder->sites[site];
  const CaptureRules& rules = bound.recorder->rules;
  const bool wanted = rules.is_selected(site) || rules.is_text(site);
  BoundRequest* decided = &bound;
  if (calls->undecided && (called.relation != SiteRelation::Cross || wanted)) {
    try {
      // Cross-attention has the same keys in every step, and as well in another answer.
      const bool tells = called.relation != SiteRelation::Cross;
      decided = decide(shared_bound_to(&bound.recorder->model),
                       {site, called.relation == SiteRelation::Self, tells ? queries : 0, tells ? keys : 0});
      calls = decided->calls.get();
    } catch (...) {  // counted where it happened
      return nullptr;
    }
  }
  if (wanted) calls->steps.has_rows();
  calls->steps.saw(site, keys);
  return decided->captured;
}

/// Of an axis counted from the end; 0: not known.
int64_t size_of(const at::Tensor& tensor, int64_t axis) noexcept {
  return is_plain(tensor) && tensor.dim() >= -axis ? tensor.sizes()[static_cast<size_t>(tensor.dim() + axis)] : 0;
}

}  // namespace

void bind_newest(const std::shared_ptr<BoundRequest>& request) {
  const std::shared_ptr<BoundRequest> oldest = bind(request);
  if (!oldest || oldest->recorder->forked()) return;
  if (oldest->calls) oldest->calls->end();
  if (oldest->captured == nullptr) return unbind(*oldest);
  oldest->captured->discard(DropReason::HostBudget);
  oldest->recorder->held->let_go(oldest->captured);
}

void end_answer(const AttachedModel* model) noexcept {
  const std::shared_ptr<BoundRequest> bound = shared_bound_to(model);
  if (bound && bound->calls && !bound->calls->running()) close(*bound);
}

EnteredCall enter_call(AttachedModel* model, int64_t method) noexcept {
  try {
    if (model == nullptr || unbound(model)) return {};
    if (std::shared_ptr<BoundRequest> bound = shared_bound_to(model)) {
      if (!bound->calls) {
        if (bound->captured == nullptr) return {};
        bound->captured->run(method);
        bound->captured->enter_method();
        return {nullptr, true};
      }
      AnswerCalls& calls = *bound->calls;
      if (calls.running() || bound->thread != std::this_thread::get_id()) return {};  // inside of that call
      if (calls.resume(AnswerCalls::Clock::now())) {
        calls.method = method;
        // What a call without attention brought was kept or not by the sample: it is that of the answer behind it.
        if (!calls.awaited) calls.sample = bound->recorder->sample();
        calls.undecided = true;
        return {bound};
      }
    }
    const std::shared_ptr<Recorder> recorder = model->recorder();
    if (!recorder || !recorder->live()) return {};
    return {open_unasked(recorder, method, recorder->sample())};
  } catch (...) {  // counted where it happened
  }
  return {};
}

void leave_opened(const AttachedModel* model, bool threw) noexcept {
  BoundRequest* const bound = bound_to(model);
  if (bound != nullptr && !bound->calls && bound->captured != nullptr) bound->captured->leave_method(threw);
}

void leave_call(const std::shared_ptr<BoundRequest>& entered) noexcept {
  if (entered->recorder->forked()) return;  // the parent ends it
  BoundRequest& bound = last_of(entered);
  if (!bound.calls->running()) return;
  if (bound.captured != nullptr) bound.captured->leave_method(/*threw=*/false);
  if (bound.calls->alone || !bound.recorder->live()) {
    close(bound);
  } else {
    bound.calls->pause(AnswerCalls::Clock::now());
  }
}

void abandon_call(const std::shared_ptr<BoundRequest>& entered) noexcept {
  if (entered->recorder->forked()) return;
  BoundRequest& bound = last_of(entered);
  if (!bound.calls->running() || !bound.calls->end()) return;
  if (bound.captured == nullptr) return unbind(bound);
  bound.captured->discard(DropReason::NotFinished);
  bound.recorder->held->let_go(bound.captured);
}

void offer_argument(BoundRequest& bound, int64_t argument, const at::Tensor& input) noexcept {
  if (!is_plain(input)) return;
  if (AnswerCalls* calls = bound.calls.get(); calls != nullptr && calls->undecided && !calls->steps.fresh()) {
    // Whose it is shows at the first attention, when the model may have written over it.
    const bool may_begin = calls->sample || bound.recorder->control->wants_next();
    if ((bound.captured == nullptr && !may_begin) || !bound.recorder->reads(calls->method, argument)) return;
    try {
      const c10::InferenceMode normal(false);
      const at::NoGradGuard no_grad;
      calls->offer(argument, input.detach().clone());
    } catch (...) {  // an answer without its picture says so
    }
    return;
  }
  if (bound.captured != nullptr) bound.captured->offer(argument, input);
}

void push_call(BoundRequest& bound, int64_t site, const at::Tensor& weights, const WeightsLayout& layout) noexcept {
  const int64_t queries = layout.query_axis == 0 ? 1 : size_of(weights, layout.query_axis);
  if (RequestState* request = capturing(bound, site, queries, size_of(weights, layout.key_axis)))
    request->push(site, weights, layout);
}

void push_call(BoundRequest& bound, int64_t site, const ops::Scores& scores) noexcept {
  if (RequestState* request = capturing(bound, site, size_of(scores.q_bhqd, -2), size_of(scores.k_bhkd, -2)))
    request->push(site, scores);
}

void push_call(BoundRequest& bound, int64_t site, const PackedAttention& packed) noexcept {
  if (RequestState* request = capturing(bound, site, size_of(packed.q_input, -2), size_of(packed.k_input, -2)))
    request->push(site, packed);
}

}  // namespace gaze
