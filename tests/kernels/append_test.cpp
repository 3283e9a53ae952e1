// SPDX-License-Identifier: MIT
// Rows of a recorded step, appended at every replay by launches that do not know which one it is: both twins against
// plain bookkeeping.
#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "accumulated.hpp"

using namespace gaze::kernels;
using namespace gaze::test;

namespace {

struct Shape {
  std::size_t batch, cells, room;
};
// One block and several for a row; no room at all.
const std::vector<Shape> kShapes = {{1, 1, 3},    {3, 7, 4},     {2, 2048, 2}, {1, 2049, 2},
                                    {2, 6000, 3}, {2, 40000, 1}, {2, 5, 0}};

void fill(Accumulated& step, float from) {
  const std::size_t count = step.map.values().size(), batch = step.weight.values().size();
  for (std::size_t i = 0; i < count; ++i) step.map.data()[i] = from + static_cast<float>(i % 977);
  for (std::size_t b = 0; b < batch; ++b) {
    const float value = from + static_cast<float>(b);
    for (Output<float>* each : {&step.weight, &step.mass, &step.visible}) each->data()[b] = value;
    for (Output<std::int32_t>* each : {&step.calls, &step.flags, &step.rows})
      each->data()[b] = static_cast<std::int32_t>(value);
  }
}

}  // namespace

CATCH_TEST_CASE("append puts one step behind another, whatever runs it, and counts what has no room") {
  for (const Shape& shape : kShapes) {
    for (const bool on_cuda : {false, true}) {
      CATCH_CAPTURE(shape.batch, shape.cells, shape.room, on_cuda);
      Accumulated step(shape.batch, shape.cells), steps(shape.batch * shape.room, shape.cells);
      const auto counters = static_cast<std::size_t>(
          append_counters(static_cast<std::int64_t>(shape.batch), static_cast<std::int64_t>(shape.cells)));
      Output<std::int32_t> count(counters);
      for (std::size_t n = 0; n < counters; ++n) count.data()[n] = 0;
      AppendParams p;
      p.from = step.to();
      p.to = steps.to();
      p.rows = static_cast<std::int64_t>(shape.batch);
      p.steps = static_cast<std::int64_t>(shape.room);
      p.count_n = count.data();
      const std::vector<float> untouched = steps.map.values();
      const std::size_t wide = shape.cells + Accumulated::kWider;
      for (std::size_t s = 0; s < shape.room + 2; ++s) {
        CATCH_CAPTURE(s);
        fill(step, static_cast<float>(1000 * s + 3));
        const std::vector<float> map = step.map.values(), weight = step.weight.values();
        if (on_cuda) {
          CATCH_REQUIRE(cuda::append(p, nullptr) == 0);
        } else {
          cpu::append(p);
        }
        CATCH_REQUIRE(step.intact());
        CATCH_REQUIRE(steps.intact());
        bool moved = true, emptied = true, kept = true;
        for (std::size_t b = 0; b < shape.batch; ++b) {
          const std::size_t row = s * shape.batch + b;
          for (std::size_t c = 0; c < wide; ++c) {
            const float left = step.map[b * wide + c];
            // Other columns of the wider map are nobody's.
            emptied = emptied && left == (c < shape.cells ? 0 : map[b * wide + c]);
            if (s >= shape.room) continue;
            const float here = steps.map[row * wide + c];
            moved = moved && here == (c < shape.cells ? map[b * wide + c] : untouched[row * wide + c]);
          }
          emptied = emptied && step.weight[b] == 0 && step.mass[b] == 0 && step.visible[b] == 0 && step.calls[b] == 0 &&
                    step.flags[b] == 0 && step.rows[b] == 0;
          if (s >= shape.room) continue;
          const auto whole = static_cast<std::int32_t>(weight[b]);
          kept = kept && steps.weight[row] == weight[b] && steps.mass[row] == weight[b] &&
                 steps.visible[row] == weight[b] && steps.calls[row] == whole && steps.flags[row] == whole &&
                 steps.rows[row] == whole;
        }
        CATCH_CHECK(moved);
        CATCH_CHECK(emptied);
        CATCH_CHECK(kept);
        CATCH_CHECK(count.intact());
        CATCH_CHECK(count.values() == std::vector<std::int32_t>(counters, static_cast<std::int32_t>(s + 1)));
      }
    }
  }
}

CATCH_TEST_CASE("append counts no further than its counters can") {
  for (const bool on_cuda : {false, true}) {
    Accumulated step(1, 4), steps(2, 4);
    std::int32_t count = INT32_MAX;
    AppendParams p;
    p.from = step.to();
    p.to = steps.to();
    p.rows = 1;
    p.steps = 2;
    p.count_n = &count;
    if (on_cuda) {
      CATCH_REQUIRE(cuda::append(p, nullptr) == 0);
    } else {
      cpu::append(p);
    }
    CATCH_CHECK(count == INT32_MAX);
    CATCH_CHECK(steps.intact());
  }
}
