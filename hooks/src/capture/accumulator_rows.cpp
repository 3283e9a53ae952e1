// SPDX-License-Identifier: MIT
#include "capture/accumulator_rows.hpp"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

namespace gaze {
namespace {

constexpr at::Tensor ops::Accumulator::*kFields[] = {
    &ops::Accumulator::map_tc,  &ops::Accumulator::weight_t, &ops::Accumulator::mass_t, &ops::Accumulator::visible_t,
    &ops::Accumulator::calls_t, &ops::Accumulator::flags_t,  &ops::Accumulator::rows_t};

/// Tokens from `tokens` on are zero in both: rows of a batch advance together.
void copy_tokens(const ops::Accumulator& from, int64_t tokens, ops::Accumulator& to) {
  for (const auto field : kFields) {
    (to.*field).narrow(0, 0, tokens).copy_((from.*field).narrow(0, 0, tokens), /*non_blocking=*/true);
  }
}

RowAccumulators like(const RowAccumulators& row) {
  RowAccumulators made;
  for (const ops::Accumulator& each : row) {
    made.push_back(ops::make_accumulator(each.map_tc.size(0), each.map_tc.size(1), each.map_tc.device()));
  }
  return made;
}

}  // namespace

ops::Accumulator& accumulator_on(RowAccumulators& row, int64_t tokens, int64_t cells, at::Device device) {
  for (ops::Accumulator& each : row) {
    if (each.map_tc.device() == device) return each;
  }
  row.push_back(ops::make_accumulator(tokens, cells, device));
  return row.back();
}

void each_tensor(const RowAccumulators& row, c10::function_ref<void(const at::Tensor&)> see) {
  for (const ops::Accumulator& each : row) {
    for (const auto field : kFields) see(each.*field);
  }
}

void widen(RowAccumulators& row, int64_t cells) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  for (ops::Accumulator& each : row) {
    at::Tensor map_tc = at::zeros({each.map_tc.size(0), cells}, each.map_tc.options());
    map_tc.narrow(1, 0, each.map_tc.size(1)).copy_(each.map_tc, /*non_blocking=*/true);
    each.map_tc = std::move(map_tc);
  }
}

void forget_tokens(RowAccumulators& row, int64_t first) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  for (ops::Accumulator& each : row) {
    const int64_t tokens = each.map_tc.size(0);
    if (first >= tokens) continue;
    for (const auto field : kFields) (each.*field).narrow(0, first, tokens - first).zero_();
  }
}

std::vector<RowAccumulators> gather_rows(std::vector<RowAccumulators> rows, const std::vector<int64_t>& from,
                                         int64_t tokens) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  std::vector<int64_t> taken_by(rows.size(), -1);  // the row of the result that takes the memory over
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t& taken = taken_by[static_cast<size_t>(from[i])];
    if (taken < 0) taken = static_cast<int64_t>(i);
  }
  std::vector<RowAccumulators> gathered(from.size());
  std::vector<RowAccumulators> unused;
  for (size_t row = 0; row < rows.size(); ++row) {
    RowAccumulators& to = taken_by[row] < 0 ? unused.emplace_back() : gathered[static_cast<size_t>(taken_by[row])];
    to = std::move(rows[row]);
  }
  for (size_t i = 0; i < from.size(); ++i) {
    const auto owner = static_cast<size_t>(taken_by[static_cast<size_t>(from[i])]);
    if (owner == i) continue;
    const RowAccumulators& source = gathered[owner];
    if (unused.empty()) {
      gathered[i] = like(source);
    } else {
      gathered[i] = std::move(unused.back());
      unused.pop_back();
    }
    for (size_t device = 0; device < source.size(); ++device) {
      copy_tokens(source[device], tokens, gathered[i][device]);
    }
  }
  return gathered;
}

RowAccumulators gather_tokens(const std::vector<const RowAccumulators*>& of_tokens, int64_t tokens) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  RowAccumulators gathered = like(*of_tokens.front());
  const int64_t count = std::min(tokens, static_cast<int64_t>(of_tokens.size()));
  for (int64_t first = 0, next = 0; first < count; first = next) {
    const RowAccumulators* const row = of_tokens[static_cast<size_t>(first)];
    while (next < count && of_tokens[static_cast<size_t>(next)] == row) ++next;
    for (size_t device = 0; device < row->size(); ++device) {
      for (const auto field : kFields) {
        (gathered[device].*field)
            .narrow(0, first, next - first)
            .copy_(((*row)[device].*field).narrow(0, first, next - first), /*non_blocking=*/true);
      }
    }
  }
  return gathered;
}

}  // namespace gaze
