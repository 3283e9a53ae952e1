// SPDX-License-Identifier: MIT
#include "capture/replayed_rows.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gaze/ops/append.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <utility>

namespace gaze {
namespace {

bool same_span(const KeySpan& a, const KeySpan& b) { return a.first_key == b.first_key && a.keys == b.keys; }

}  // namespace

bool ReplayedRows::Shape::operator==(const Shape& other) const {
  return device == other.device && batch == other.batch &&
         std::equal(spans.begin(), spans.end(), other.spans.begin(), other.spans.end(), same_span);
}

ReplayedRows::ReplayedRows(Shape shape, int64_t keys, int64_t tokens, int64_t budget_bytes)
    : shape_(std::move(shape)), keys_(keys), tokens_(tokens) {
  const int64_t batch = shape_.batch;
  int64_t floats = 1;  // the mark
  for (const KeySpan& span : shape_.spans) {
    counters_m_.push_back(floats);
    floats += ops::append_counters(batch, span.keys);
  }
  for (const KeySpan& span : shape_.spans) {
    at_m_.push_back(floats);
    floats += ops::accumulator_floats(batch, span.keys);
  }
  beginning_ = floats;
  for (const KeySpan& span : shape_.spans) {
    steps_at_m_.push_back(floats);
    floats += ops::accumulator_floats(batch * tokens, span.keys);
  }
  if (floats > budget_bytes / 4) {
    throw Error("capture: expected rows of " + std::to_string(tokens) +
                    " tokens that a CUDA graph replays to fit into " + std::to_string(budget_bytes >> 20) +
                    " MiB, got " + std::to_string(floats >> 18) +
                    " MiB. Raise GAZE_QUEUE_BYTES, or lower Options::max_tokens.",
                DropReason::HostBudget);
  }
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  // Not zeroed: that would be recorded, and done again by every replay.
  memory_ = at::empty({floats}, at::TensorOptions().dtype(at::kFloat).device(shape_.device));
  for (size_t m = 0; m < shape_.spans.size(); ++m) {
    const int64_t cells = shape_.spans[m].keys;
    count_m_.push_back(counter(memory_, m));
    steps_m_.push_back(steps(memory_, m));
    const ops::Accumulator& whole = whole_step_m_.emplace_back(
        ops::accumulator_in(memory_.narrow(0, at_m_[m], ops::accumulator_floats(batch, cells)), batch, cells));
    std::vector<ops::Accumulator>& step_b = step_mb_.emplace_back();
    for (int64_t b = 0; b < batch; ++b) {
      const auto row = [&](const at::Tensor& of) { return of.narrow(0, b, 1); };
      step_b.push_back({row(whole.map_tc), row(whole.weight_t), row(whole.mass_t), row(whole.visible_t),
                        row(whole.calls_t), row(whole.flags_t), row(whole.rows_t)});
    }
  }
}

at::Tensor ReplayedRows::counter(const at::Tensor& memory, size_t medium) const {
  const int64_t counters = ops::append_counters(shape_.batch, shape_.spans[medium].keys);
  return memory.narrow(0, counters_m_[medium], counters).view(at::kInt);
}

ops::Accumulator ReplayedRows::steps(const at::Tensor& memory, size_t medium) const {
  const int64_t rows = shape_.batch * tokens_, cells = shape_.spans[medium].keys;
  return ops::accumulator_in(memory.narrow(0, steps_at_m_[medium], ops::accumulator_floats(rows, cells)), rows, cells);
}

void ReplayedRows::append() {
  for (size_t m = 0; m < steps_m_.size(); ++m) ops::append(whole_step_m_[m], count_m_[m], steps_m_[m]);
}

void ReplayedRows::begin() {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  memory_.narrow(0, 0, beginning_).zero_();
}

void ReplayedRows::mark() {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  memory_.narrow(0, 0, 1).view(at::kInt).copy_(count_m_.front().narrow(0, 0, 1), /*non_blocking=*/true);
}

ReplayedRows::Copy ReplayedRows::copy() const {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  Copy copy{.memory = memory_.clone(), .count = {}, .marked = {}, .steps_m = {}};
  copy.marked = copy.memory.narrow(0, 0, 1).view(at::kInt);
  copy.count = counter(copy.memory, 0).narrow(0, 0, 1);
  for (size_t m = 0; m < steps_m_.size(); ++m) copy.steps_m.push_back(steps(copy.memory, m));
  return copy;
}

void ReplayedRows::saw(int64_t site, int64_t heads) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known =
      std::find_if(sites_.begin(), sites_.end(), [&](const SiteCalls& each) { return each.site == site; });
  if (known == sites_.end()) sites_.push_back({site, heads});
}

std::vector<ReplayedRows::SiteCalls> ReplayedRows::sites() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sites_;
}

}  // namespace gaze
