// SPDX-License-Identifier: MIT
#include "delivery/drop_report.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace gaze {
namespace {

/// Of what is counted where no text can be made.
const char* explanation(DropReason reason) {
  switch (reason) {
    case DropReason::NotFinished:
      return "expected finish() before a request is destroyed. Call it when the answer is complete.";
    case DropReason::QueueBytes:
      return "expected room in the queue of finished requests. Raise GAZE_QUEUE_BYTES or lower GAZE_SAMPLE_RATE.";
    case DropReason::TokenLimit:
      return "expected at most options.max_tokens of an answer; the rest is not captured. Raise it.";
    case DropReason::HostBudget:
      return "expected memory for the request, and at most 1024 open ones of a thread. Lower GAZE_QUEUE_BYTES or "
             "GAZE_SAMPLE_RATE, and finish requests that ended.";
    case DropReason::HookException:
      return "a tap failed; the model's own result is untouched.";
    case DropReason::NoAttention:
      return "expected a call of a selected site while the request was open, got none. Open it before the model runs.";
    case DropReason::Shutdown:
      return "expected the request before shutdown, or within its time. Call flush first, or give shutdown more time.";
    case DropReason::CudaOom:
      return "expected memory on the device, got none. Lower GAZE_SAMPLE_RATE.";
    case DropReason::NoRequest:
      return "a step of an answer for which no request is open, and of which answer it is cannot be told from its "
             "keys. "
             "Put begin() and finish() around the answer.";
    case DropReason::SiteOrder:
      return "expected calls of the same sites in every step of the model. Mark its steps with Gaze::step().";
    case DropReason::RateLimited:
      return "expected at most so many captured requests in a second as GAZE_PER_SECOND says.";
    case DropReason::Breaker:
      return "captures could not be kept, time after time: left alone until one can be. The reasons are told by "
             "themselves.";
    case DropReason::Superseded:
      return "batch rows that Request::reorder left out.";
    case DropReason::Quota:
      return "expected the free space of GAZE_QUOTA_FREE, got less with every bundle deleted. Free space or lower it.";
    default:
      return "";
  }
}

/// What is a drop of `reason`, so far: the host's tokens, or its requests. Not what was never captured.
int64_t count_of(const Stats& stats, DropReason reason) {
  if (reason == DropReason::NotSampled || reason == DropReason::OptedOut || reason == DropReason::SelfCheck) return 0;
  return reason == DropReason::TokenLimit ? stats.tokens_dropped : stats.drops(reason);
}

/// Giving up a beam is what a beam search does; the others are what somebody asked for.
LogLevel level_of(DropReason reason) {
  const bool asked_for = reason == DropReason::Superseded || reason == DropReason::RateLimited ||
                         reason == DropReason::NotKept || reason == DropReason::Withdrawn;
  return asked_for ? LogLevel::Debug : LogLevel::Warn;
}

}  // namespace

Counters::Reasons DropReport::resting(Clock::time_point now) const noexcept {
  Counters::Reasons reasons = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].said > 0 && now < entries_[i].at + kPause) reasons |= Counters::bit(static_cast<DropReason>(i));
  }
  return reasons;
}

DropReport::Clock::time_point DropReport::tell(const Stats& stats, Clock::time_point now, const Say& say) noexcept {
  const Counters::Reasons rest = resting(now);
  auto next = Clock::time_point::max();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const auto reason = static_cast<DropReason>(i);
    Entry& entry = entries_[i];
    const int64_t all = count_of(stats, reason);
    const int64_t more = all - entry.said;
    if (more <= 0) continue;
    if ((rest & Counters::bit(reason)) != 0) {
      next = std::min(next, entry.at + kPause);
      continue;
    }
    const char* const what = reason == DropReason::TokenLimit ? "token" : "request";
    const char* const text = entry.text[0] != '\0' ? entry.text.data() : explanation(reason);
    char line[kTextBytes + 200];
    if (entry.said == 0) {
      std::snprintf(line, sizeof line, "dropped %" PRId64 " %s%s: %s%s%s", more, what, more == 1 ? "" : "s",
                    name(reason), *text != '\0' ? ": " : "", text);
    } else {
      std::snprintf(line, sizeof line, "dropped %" PRId64 " more %s%s, %" PRId64 " so far: %s%s%s", more, what,
                    more == 1 ? "" : "s", all, name(reason), *text != '\0' ? ": " : "", text);
    }
    entry.said = all;
    entry.at = now;
    say(level_of(reason), line);
  }
  return next;
}

void DropReport::sum_up(const Stats& stats, const Say& say) noexcept {
  char line[900];
  size_t size = 0;
  const auto add = [&](const char* format, auto... values) {
    const int wanted = std::snprintf(line + size, sizeof line - size, format, values...);
    size = std::min(size + static_cast<size_t>(std::max(wanted, 0)), sizeof line - 1);
  };
  add("shutdown: %" PRId64 " of %" PRId64 " captured requests were written; dropped were", stats.written,
      stats.sampled);
  bool any = false;
  LogLevel level = LogLevel::Debug;
  for (size_t i = 0; i < stats.dropped.size(); ++i) {
    const auto reason = static_cast<DropReason>(i);
    const int64_t count = count_of(stats, reason);
    if (count == 0) continue;
    add("%s %" PRId64 " %s", any ? "," : "", count, name(reason));
    if (reason == DropReason::TokenLimit) add("%s", " (tokens)");
    level = std::min(level, level_of(reason));
    any = true;
  }
  if (any) say(level, line);
}

}  // namespace gaze
