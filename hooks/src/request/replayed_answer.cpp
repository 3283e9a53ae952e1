// SPDX-License-Identifier: MIT
#include "request/replayed_answer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <utility>

namespace gaze {
namespace {

constexpr at::Tensor MediumMap::*kFigures[] = {&MediumMap::map_tk, &MediumMap::mass_t, &MediumMap::visible_t,
                                               &MediumMap::flags_t};

std::string span_text(const std::vector<KeySpan>& spans) {
  std::string text;
  for (const KeySpan& span : spans) {
    if (!text.empty()) text += " and ";
    text += std::to_string(span.first_key) + ".." + std::to_string(span.first_key + span.keys - 1);
  }
  return text;
}

void fail(AttentionRecord& record, std::vector<RowAnswer>& answers, std::string text, DropReason reason) {
  record.error = std::move(text);
  record.error_reason = reason;
  answers.clear();
  for (MediumMap& map : record.maps) {
    for (const auto figure : kFigures) map.*figure = at::Tensor();
    map.detail.reset();
  }
}

int32_t read(const at::Tensor& count) { return count.cpu().item<int32_t>(); }

void count_calls(const std::vector<SiteUse>& of_a_step, int64_t steps, std::vector<SiteUse>& sites) {
  for (const SiteUse& use : of_a_step) {
    auto counted = std::find_if(sites.begin(), sites.end(), [&](const SiteUse& each) { return each.name == use.name; });
    if (counted == sites.end()) {
      counted = sites.insert(counted, use);
      counted->calls = 0;
    }
    counted->calls += steps;
  }
}

}  // namespace

ReplayedAnswer::ReplayedAnswer(std::shared_ptr<const ReplayedCopies> copies, size_t row, Beside beside)
    : copies_(std::move(copies)), row_(row), beside_(std::move(beside)) {}

int64_t ReplayedAnswer::bytes() const {
  // All rows of the request hold it together.
  int64_t total = 0;
  for (const ReplayedCopies::Of& of : copies_->all) {
    total += row_ == 0 ? static_cast<int64_t>(of.copy.memory.nbytes()) : 0;
  }
  return total;
}

void ReplayedAnswer::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const ReplayedCopies::Of& of : copies_->all) see(of.copy.memory);
}

ops::Accumulator ReplayedAnswer::rows_of(const ReplayedCopies::Of& of, size_t medium) const {
  const ops::Accumulator& all = of.copy.steps_m[medium];
  const int64_t batch = of.shape.batch, tokens = all.weight_t.size(0) / batch,
                b = std::min(static_cast<int64_t>(row_), batch - 1);
  const auto column = [&](const at::Tensor& of_r) { return of_r.view({tokens, batch}).select(1, b); };
  return {all.map_tc.view({tokens, batch, all.map_tc.size(1)}).select(1, b),
          column(all.weight_t),
          column(all.mass_t),
          column(all.visible_t),
          column(all.calls_t),
          column(all.flags_t),
          column(all.rows_t)};
}

RowAnswer ReplayedAnswer::answer(size_t medium, const ops::ReduceOptions& by) const {
  const ops::Accumulator rows = rows_of(copies_->all.front(), medium);
  return {.map_tk = rows.map_tc,
          .mass_t = rows.mass_t,
          .visible_t = rows.visible_t,
          .flags_t = rows.flags_t,
          .weight_t = rows.weight_t,
          .rows_t = rows.rows_t,
          .keys = rows.map_tc.size(1),
          .beyond = {},
          .by = by};
}

ReplayedAnswer::Steps ReplayedAnswer::replayed() const {
  Steps found;
  for (const ReplayedCopies::Of& of : copies_->all) {
    const int32_t count = read(of.copy.count);
    if (count <= 0) continue;
    if (!beside_.untold.empty()) throw Error(beside_.untold, DropReason::StreamCapturing);
    if (copies_->overlapped) {
      throw Error(
          "capture: expected one open request at a time while CUDA graphs are replayed, got several: which of "
          "them a replay belongs to cannot be told. Open one request for a batch, or finish one before the next.",
          DropReason::StreamCapturing);
    }
    if (of.spoilt) {
      throw Error(
          "capture: expected CUDA graphs of whole calls of the model, got one that ended within a call, whose "
          "replays add parts of steps. Record the whole call.",
          DropReason::StreamCapturing);
    }
    const ReplayedRows::Shape here{of.shape.device, of.shape.batch, beside_.spans};
    if (!(of.shape == here)) {
      throw Error("capture: expected a CUDA graph that was recorded for keys " + span_text(beside_.spans) +
                      " as in this request, got one for keys " + span_text(of.shape.spans) +
                      ". Record a graph for each place that the medium's keys have.",
                  DropReason::GridMismatch);
    }
    if (found.of != nullptr) {
      throw Error("capture: expected the CUDA graphs of one batch size, got replays of those of " +
                      std::to_string(found.of->shape.batch) + " and of " + std::to_string(of.shape.batch) +
                      " rows in one request: their order cannot be told. Keep to one batch size until the answer ends.",
                  DropReason::StreamCapturing);
    }
    if (beside_.tokens > 0 && read(of.copy.marked) > 0) {
      throw Error(
          "capture: expected calls first and then replays of CUDA graphs, got a call after a replay: which token "
          "is which cannot be told. Replay all that follow the first replay, or none.",
          DropReason::StreamCapturing);
    }
    found = {&of, count};
  }
  return found;
}

void ReplayedAnswer::append(const Steps& steps, AttentionRecord& record, std::vector<RowAnswer>& answers) const {
  const int64_t before = beside_.tokens, count = std::min(steps.count, beside_.max_tokens - before);
  for (size_t m = 0; m < answers.size() && m < steps.of->shape.spans.size(); ++m) {
    MediumMap& map = record.maps[m];
    const ops::Accumulator rows = rows_of(*steps.of, m);
    const auto put = [&](at::Tensor& to, const at::Tensor& more) {
      const at::Tensor first = more.narrow(0, 0, count);
      to = before > 0 ? at::cat({to.narrow(0, 0, before), first}) : first.contiguous();
    };
    put(map.map_tk, rows.map_tc);
    put(map.mass_t, rows.mass_t);
    put(map.visible_t, rows.visible_t);
    put(map.flags_t, rows.flags_t);
    if (steps.of->gathers && steps.of->shape.batch > 1 && count > 0)
      map.flags_t.narrow(0, before, count).bitwise_or_(int64_t{ops::kRowGathered});
    answers[m].flags_t = map.flags_t;
    answers[m].visible_t = map.visible_t;
    put(answers[m].weight_t, rows.weight_t);
    put(answers[m].rows_t, rows.rows_t);
    if (map.detail) map.detail = Detail{{}, map.detail->if_flagged, "heads are not kept of what a CUDA graph replays"};
  }
  if (record.rows) {
    record.rows->tokens += steps.count;
    record.rows->calls += steps.count;
    record.rows->queries = std::max<int64_t>(record.rows->queries, 1);
  }
  record.tokens_dropped += steps.count - count;
  count_calls(steps.of->sites, steps.count, record.sites);
}

void ReplayedAnswer::join(AttentionRecord& record, std::vector<RowAnswer>& answers) const {
  try {
    const Steps steps = replayed();
    if (steps.count == 0 && beside_.tokens == 0) return fail(record, answers, beside_.nothing, DropReason::NoAttention);
    if (steps.count == 0) return;
    // A text's rows are those of the calls alone.
    if (answers.size() > beside_.spans.size()) {
      answers.resize(beside_.spans.size());
      record.maps.resize(beside_.spans.size());
      record.notes.push_back("The text is left out: what a CUDA graph replays is not looked at for it.");
    }
    append(steps, record, answers);
  } catch (const Error& error) {
    fail(record, answers, error.what(), error.reason());
  }
}

}  // namespace gaze
