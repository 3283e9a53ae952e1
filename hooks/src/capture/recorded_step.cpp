// SPDX-License-Identifier: MIT
#include "capture/recorded_step.hpp"

#include <c10/util/SmallVector.h>
#include <gaze/ops/device.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace gaze {
namespace {

[[noreturn]] void refuse(const std::string& expected_and_got) {
  throw Error(
      "capture: expected " + expected_and_got +
          ", while a CUDA graph is recorded: its replays are not captured. Run one request outside of the graph "
          "to see its attention.",
      DropReason::StreamCapturing);
}

}  // namespace

void RecordedStep::check(const CaptureRules& rules) {
  if (rules.reduce.layers == ops::LayerReduce::Rollout) refuse("a reduction of layers that is a sum, got rollout");
  const TokenRows& rows = rules.rows;
  const bool last = rows.of == TokenRows::Of::Found || rows.of == TokenRows::Of::Last || rows.of == TokenRows::Of::All;
  if (!last || rows.calls_per_token > 1 || rows.passes > 1)
    refuse("rows found, last or all, with one call and one pass a token, got others in the profile's rows");
}

RecordedStep::RecordedStep(const CaptureRules& rules, std::shared_ptr<ReplayedRows> rows)
    : rules_(rules), rows_(std::move(rows)) {
  check(rules);
}

RecordedStep::~RecordedStep() {
  if (!ended_) rows_->spoil();
}

void RecordedStep::add(int64_t site, const AttentionCall& call) {
  const ReplayedRows::Shape& shape = rows_->shape();
  if (call.device() != shape.device)
    refuse("all layers on " + shape.device.str() + ", got one on " + call.device().str());
  if (call.queries() != 1)
    refuse("one query of " + rules_.name(site) + " a token, got " + std::to_string(call.queries()));
  int64_t end = 0;
  for (const KeySpan& span : shape.spans) end = std::max(end, span.first_key + span.keys);
  if (call.batch() != shape.batch || call.keys() < end) {
    throw Error(rules_.name(site) + ": expected batch " + std::to_string(shape.batch) + " and at least " +
                    std::to_string(end) + " keys as in the step's first call, got batch " +
                    std::to_string(call.batch()) + " and " + std::to_string(call.keys()) +
                    " keys. Use one request per batch.",
                DropReason::ShapeMismatch);
  }
  const c10::ArrayRef<int64_t> heads = rules_.heads(site);
  if (!heads.empty() && heads.back() >= call.heads()) {
    throw Error("profile: heads.select: " + rules_.name(site) + ": expected heads of 0.." +
                    std::to_string(call.heads() - 1) + ", got " + std::to_string(heads.back()) + ". Correct the list.",
                DropReason::ShapeMismatch);
  }
  if (std::find(ran_.begin(), ran_.end(), site) != ran_.end()) next();
  ran_.push_back(site);
  rows_->saw(site, call.heads());
  const ops::RowRange wanted{.queries = 1, .heads = heads};
  const ops::Scores* const scores = call.scores();
  const bool waits = scores != nullptr && rules_.inputs_stay(site);
  // Of the last layer alone the order matters.
  if (!waits && rules_.reduce.layers == ops::LayerReduce::Last) add_waiting();
  const int64_t held = waits && !rules_.keys_live_on(site) ? static_cast<int64_t>(scores->k_bhkd.nbytes()) : 0;
  if (waiting_.held_bytes() + held > StepCalls::kMostHeldBytes) add_waiting();
  if (waits) {
    waiting_.keep(site, *scores, wanted, /*dropped_keys=*/0, held);
  } else {
    add_now(call, wanted);
  }
}

template <typename Act>
void RecordedStep::with_rows(size_t medium, const Act& act) {
  c10::SmallVector<ops::Accumulator*, 8> to_b;
  for (int64_t b = 0; b < rows_->shape().batch; ++b) to_b.push_back(&rows_->step(static_cast<size_t>(b), medium));
  act(c10::ArrayRef<ops::Accumulator*>(to_b));
}

void RecordedStep::add_now(const AttentionCall& call, ops::RowRange wanted) {
  for (size_t m = 0; m < rows_->shape().spans.size(); ++m) {
    wanted.first_key = rows_->shape().spans[m].first_key;
    with_rows(m, [&](c10::ArrayRef<ops::Accumulator*> to_b) { call.add(wanted, rules_.reduce, to_b); });
  }
}

void RecordedStep::add_waiting() {
  for (StepCalls::Run& run : waiting_.runs(/*same_keys=*/false)) {
    for (size_t m = 0; m < rows_->shape().spans.size(); ++m) {
      for (ops::AttendCall& each : run.calls) each.range.first_key = rows_->shape().spans[m].first_key;
      with_rows(m, [&](c10::ArrayRef<ops::Accumulator*> to_b) { ops::attend_reduce(run.calls, rules_.reduce, to_b); });
    }
  }
  waiting_.clear();
}

void RecordedStep::next() {
  add_waiting();
  rows_->append();
  ran_.clear();
}

void RecordedStep::end() {
  // What is launched now would run once, and not with the rest of the step.
  if (!ops::capturing(rows_->shape().device)) refuse("a graph of whole calls of the model, got one that ended within");
  next();
  ended_ = true;
}

}  // namespace gaze
