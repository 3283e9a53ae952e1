// SPDX-License-Identifier: MIT
#include "request/answer_calls.hpp"

#include <algorithm>
#include <utility>

namespace gaze {

const AnswerSteps::Known* AnswerSteps::find(int64_t site) const noexcept {
  for (size_t i = 0; i < used_; ++i) {
    if (known_[i].site == site) return &known_[i];
  }
  return nullptr;
}

bool AnswerSteps::recomputes(const FirstAttention& next) const noexcept {
  const Known* before = find(next.site);
  return before != nullptr && next.queries == next.keys && next.keys == before->keys + 1;
}

AnswerSteps::Verdict AnswerSteps::judge(const FirstAttention& next) const noexcept {
  const Known* before = find(next.site);
  const bool told = next.queries > 0;
  if (told && before != nullptr && next.keys == before->keys + next.queries && next.queries < next.keys)
    return Verdict::Continues;
  // Keys of earlier calls that are not this answer's: a cache of fixed size, one that drops its oldest keys, or one
  // that another answer began.
  if (told && next.self && next.queries == 1 && next.keys > 1) return Verdict::Stray;
  if (recomputes(next) && repeats_ >= 1) return Verdict::Stray;
  return before == nullptr && !rows_ ? Verdict::Continues : Verdict::Begins;
}

AnswerSteps AnswerSteps::after(const FirstAttention& next) const noexcept {
  AnswerSteps made;
  made.repeats_ = recomputes(next) ? repeats_ + 1 : 0;
  made.begin(next);
  return made;
}

void AnswerSteps::begin(const FirstAttention& first) noexcept {
  if (find(first.site) == nullptr && used_ < known_.size()) known_[used_++] = {first.site, first.keys};
  saw(first.site, first.keys);
}

void AnswerSteps::saw(int64_t site, int64_t keys) noexcept {
  for (size_t i = 0; i < used_; ++i) {
    if (known_[i].site == site) known_[i].keys = keys;
  }
}

bool AnswerCalls::resume(Clock::time_point now) noexcept {
  Phase between = Phase::Between;
  if (!phase_.compare_exchange_strong(between, Phase::Running)) return false;
  longest_pause_.store(std::max(longest_pause_.load(), now.time_since_epoch().count() - paused_.load()));
  return true;
}

void AnswerCalls::pause(Clock::time_point now) noexcept {
  awaited = awaited || undecided;
  paused_.store(now.time_since_epoch().count());
  Phase running = Phase::Running;
  phase_.compare_exchange_strong(running, Phase::Between);
}

void AnswerCalls::offer(int64_t argument, at::Tensor copy) {
  offered_.remove_if([&](const Offered& each) { return each.method == method && each.argument == argument; });
  offered_.push_back({method, argument, std::move(copy)});
}

std::list<AnswerCalls::Offered> AnswerCalls::take_offered(bool begins) noexcept {
  std::list<Offered> taken;
  for (auto each = offered_.begin(); each != offered_.end();) {
    const auto here = each++;
    if (begins || here->method == method) taken.splice(taken.end(), offered_, here);
  }
  return taken;
}

bool AnswerCalls::end() noexcept { return phase_.exchange(Phase::Ended) != Phase::Ended; }

bool AnswerCalls::end_between() noexcept {
  Phase between = Phase::Between;
  return phase_.compare_exchange_strong(between, Phase::Ended);
}

bool AnswerCalls::end_if_idle(Clock::time_point now) noexcept {
  const Clock::rep since = now.time_since_epoch().count() - paused_.load();
  if (since < std::max<Clock::rep>(Clock::duration(std::chrono::seconds(2)).count(), 8 * longest_pause_.load()))
    return false;
  return end_between();
}

}  // namespace gaze
