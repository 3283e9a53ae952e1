// SPDX-License-Identifier: MIT
#include <gaze/ops/append.hpp>

#include "check.hpp"
#include "reduction.hpp"

namespace gaze::ops {

int64_t append_counters(int64_t batch, int64_t cells) { return kernels::append_counters(batch, cells); }

void append(Accumulator& step, at::Tensor& count_n, Accumulator& steps) {
  constexpr const char* op = "append";
  check_tensor(op, "step.map_tc", step.map_tc);
  const at::Device device = step.map_tc.device();
  GAZE_CHECK(step.map_tc.dim() == 2 && step.map_tc.size(0) >= 1, op, "step.map_tc",
             "[batch, cells] with at least one row, got ", step.map_tc.sizes());
  const int64_t batch = step.map_tc.size(0), cells = step.map_tc.size(1);
  kernels::AppendParams p;
  p.rows = batch;
  p.from = rows(op, step, {.queries = batch}, cells, device);
  check_tensor(op, "steps.map_tc", steps.map_tc);
  GAZE_CHECK(steps.map_tc.dim() == 2 && steps.map_tc.size(1) == cells && steps.map_tc.size(0) % batch == 0, op,
             "steps.map_tc", "[room * ", batch, ", ", cells, "], got ", steps.map_tc.sizes());
  p.steps = steps.map_tc.size(0) / batch;
  p.to = rows(op, steps, {.queries = p.steps * batch}, cells, device);
  check_like(op, "count_n", count_n, at::kInt, device);
  GAZE_CHECK(count_n.dim() == 1 && count_n.size(0) == append_counters(batch, cells) && count_n.is_contiguous(), op,
             "count_n", "[", append_counters(batch, cells), "], contiguous, got ", count_n.sizes());
  p.count_n = count_n.data_ptr<int32_t>();
  kernels_for(step.map_tc).append(p, step.map_tc.get_device());
}

}  // namespace gaze::ops
