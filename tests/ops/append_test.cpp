// SPDX-License-Identifier: MIT
#include <gaze/ops/append.hpp>

#include "ops/tensors.hpp"
#include "support/devices.hpp"
#include "support/test.hpp"

using gaze::ops::Accumulator;
using gaze::ops::append;

namespace {

constexpr at::Tensor Accumulator::*kFields[] = {&Accumulator::map_tc,    &Accumulator::weight_t, &Accumulator::mass_t,
                                                &Accumulator::visible_t, &Accumulator::calls_t,  &Accumulator::flags_t,
                                                &Accumulator::rows_t};

Accumulator accumulator(int64_t rows, int64_t cells, at::Device device) {
  const at::Tensor memory = at::full({gaze::ops::accumulator_floats(rows, cells)}, -1.0,
                                     at::TensorOptions().dtype(at::kFloat).device(device));
  return gaze::ops::accumulator_in(memory, rows, cells);
}

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("append moves a step behind those before it, and counts those without room") {
  for (const at::Device device : gaze::test::devices()) {
    for (const auto& [batch, cells, room] : {std::tuple(1, 1, 2), std::tuple(3, 577, 4), std::tuple(2, 5000, 2)}) {
      CATCH_CAPTURE(device, batch, cells, room);
      Accumulator step = accumulator(batch, cells, device), steps = accumulator(batch * room, cells, device);
      at::Tensor count_n =
          at::zeros({gaze::ops::append_counters(batch, cells)}, at::TensorOptions().dtype(at::kInt).device(device));
      std::vector<std::vector<at::Tensor>> given;
      for (int64_t s = 0; s < room + 1; ++s) {
        std::vector<at::Tensor>& now = given.emplace_back();
        for (const auto field : kFields) {
          at::Tensor& into = step.*field;
          const at::Tensor values =
              at::rand(into.sizes(), at::detail::createCPUGenerator(static_cast<uint64_t>(7 * s + 1))).mul(100);
          into.copy_(values.to(into.scalar_type()));
          now.push_back(into.cpu().clone());
        }
        append(step, count_n, steps);
        for (const auto field : kFields) CATCH_CHECK((step.*field).cpu().eq(0).all().item<bool>());
        CATCH_CHECK(count_n.cpu().eq(s + 1).all().item<bool>());
      }
      for (int64_t s = 0; s < room; ++s) {
        for (size_t f = 0; f < std::size(kFields); ++f)
          CATCH_CHECK(
              at::equal((steps.*kFields[f]).narrow(0, s * batch, batch).cpu(), given[static_cast<size_t>(s)][f]));
      }
    }
  }
}

CATCH_TEST_CASE("append says what does not fit") {
  Accumulator step = accumulator(2, 4, at::kCPU), steps = accumulator(6, 4, at::kCPU);
  at::Tensor count_n = at::zeros({gaze::ops::append_counters(2, 4)}, at::kInt);
  Accumulator odd = accumulator(5, 4, at::kCPU), wide = accumulator(6, 5, at::kCPU), none = accumulator(0, 4, at::kCPU);
  CATCH_CHECK(error_of([&] { append(step, count_n, odd); }) ==
              "gaze::append: steps.map_tc: expected [room * 2, 4], got [5, 4]");
  CATCH_CHECK(error_of([&] { append(step, count_n, wide); }) ==
              "gaze::append: steps.map_tc: expected [room * 2, 4], got [6, 5]");
  CATCH_CHECK(error_of([&] { append(none, count_n, steps); }) ==
              "gaze::append: step.map_tc: expected [batch, cells] with at least one row, got [0, 4]");
  at::Tensor few = at::zeros({1}, at::kInt), floats = at::zeros({2});
  CATCH_CHECK(error_of([&] { append(step, few, steps); }) ==
              "gaze::append: count_n: expected [2], contiguous, got [1]");
  CATCH_CHECK(error_of([&] { append(step, floats, steps); }) == "gaze::append: count_n: expected Int, got Float");
  CATCH_CHECK(error_of([&] { gaze::ops::accumulator_in(at::zeros({3}), 2, 4); }) ==
              "gaze::accumulator_in: memory: expected [20], contiguous, got [3]");
}
