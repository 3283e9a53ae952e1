// SPDX-License-Identifier: MIT
#include "operate/control_state.hpp"

#include <gaze/render/status.hpp>

#include <chrono>
#include <cmath>

namespace gaze {
namespace {

constexpr size_t kMostPatterns = 4096;

int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void check(const Control& control) {
  const auto refuse = [](const std::string& text) { throw Error("control: " + text, DropReason::Internal); };
  if (!(control.sample_rate >= 0 && control.sample_rate <= 1))
    refuse("sample_rate: expected a number from 0 to 1, got " + std::to_string(control.sample_rate) + ".");
  if (control.next < 0) refuse("next: expected 0 or more requests, got " + std::to_string(control.next) + ".");
  if (!(control.per_second >= 0 && control.per_second <= 1e6))
    refuse("per_second: expected a number from 0, which is no limit, to 1e6, got " +
           std::to_string(control.per_second) + ".");
}

}  // namespace

ControlState::ControlState(const Control& control) { set(control); }

const ControlState::Patterns* ControlState::kept(Patterns wanted) {
  if (wanted.ids.empty() && wanted.prompts.empty()) return nullptr;
  for (const auto& known : all_patterns_) {
    if (known->ids == wanted.ids && known->prompts == wanted.prompts) return known.get();
  }
  if (all_patterns_.size() >= kMostPatterns) {
    throw Error(
        "control: expected at most 4096 different patterns of ids and prompts in the life of a capture, got one more. "
        "Choose requests by RequestSpec::capture instead.");
  }
  all_patterns_.push_back(std::make_unique<const Patterns>(std::move(wanted)));
  return all_patterns_.back().get();
}

void ControlState::apply(const Control& control) {
  const Patterns* const patterns = kept({control.ids, control.prompts});
  set_ = control;
  patterns_.store(patterns, std::memory_order_release);
  sample_rate_.store(control.sample_rate, std::memory_order_relaxed);
  const double each = control.per_second > 0 ? std::clamp(1e9 / control.per_second, 1.0, 1e18) : 0;
  nanoseconds_each_.store(std::llround(each), std::memory_order_relaxed);
  capture_.store(control.capture, std::memory_order_relaxed);
}

void ControlState::count_down_from(int64_t next, bool for_files) {
  next_.store(next, std::memory_order_relaxed);
  counts_for_files_ = for_files;
}

void ControlState::set(const Control& control) {
  check(control);
  const std::lock_guard<std::mutex> lock(mutex_);
  Control all = control;
  for (const std::string& file : files_) all = read_control(file, all).control;
  apply(all);
  if (control.next != by_host_.next) count_down_from(control.next, false);
  by_host_ = control;
}

std::vector<std::string> ControlState::set_files(std::vector<std::string> texts, int64_t now_seconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> problems;
  Control all = by_host_;
  int64_t next = -1;
  for (std::string& text : texts) {
    ControlFile file = read_control(text, all);
    problems.insert(problems.end(), file.problems.begin(), file.problems.end());
    if (file.until_seconds > 0 && now_seconds >= file.until_seconds) {
      text.clear();
      continue;
    }
    all = std::move(file.control);
    if (file.says_next) next = all.next;
  }
  apply(all);
  files_ = std::move(texts);
  if (next >= 0 && next != next_of_files_) count_down_from(next, true);
  const bool silent = std::all_of(files_.begin(), files_.end(), [](const std::string& text) { return text.empty(); });
  if (silent && counts_for_files_) count_down_from(0, false);
  next_of_files_ = next;
  return problems;
}

Control ControlState::get() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Control control = set_;
  control.next = std::max<int64_t>(0, next_.load(std::memory_order_relaxed));
  return control;
}

KeepRule ControlState::keep() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return set_.keep;
}

bool ControlState::take_next() noexcept {
  return next_.load(std::memory_order_relaxed) > 0 && next_.fetch_sub(1, std::memory_order_relaxed) > 0;
}

// Bursts of one second pass, at least one request: the time at which the next one is due may lie so far behind.
bool ControlState::within_limit(int64_t now) noexcept {
  const int64_t each = nanoseconds_each_.load(std::memory_order_relaxed);
  if (each == 0) return true;
  const int64_t burst = std::max<int64_t>(1'000'000'000, each);
  int64_t due = next_free_ns_.load(std::memory_order_relaxed);
  while (true) {
    const int64_t from = std::max(due, now - burst + each);
    if (from > now) return false;
    if (next_free_ns_.compare_exchange_weak(due, from + each, std::memory_order_relaxed)) return true;
  }
}

/// For a request that is chosen.
DropReason ControlState::admit() noexcept {
  const bool limited = nanoseconds_each_.load(std::memory_order_relaxed) != 0;
  if (!limited && !breaker.open()) return Choices::kCaptured;
  const int64_t now = now_ns();
  if (!breaker.allows(now)) return DropReason::Breaker;
  return within_limit(now) ? Choices::kCaptured : DropReason::RateLimited;
}

DropReason ControlState::decide_row(const RequestSpec& spec, bool drawn) {
  if (spec.capture == false) return DropReason::OptedOut;
  if (!on()) return DropReason::NotSampled;
  const Patterns* const patterns = patterns_.load(std::memory_order_acquire);
  const bool chosen = spec.capture == true || drawn || (patterns != nullptr && patterns->name(spec)) || take_next();
  return chosen ? admit() : DropReason::NotSampled;
}

Choices ControlState::decide(const std::vector<RequestSpec>& batch, bool drawn) {
  Choices choices(batch.size(), DropReason::NotSampled);
  for (size_t row = 0; row < batch.size(); ++row) choices[row] = decide_row(batch[row], drawn);
  return choices;
}

DropReason ControlState::decide_unasked(bool drawn) noexcept {
  if (!on() || (!drawn && !take_next())) return DropReason::NotSampled;
  return admit();
}

}  // namespace gaze
