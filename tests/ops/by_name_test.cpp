// SPDX-License-Identifier: MIT
// A file of its own, for CTest runs it in a process of its own: no op may have been used before.
#include <ATen/core/dispatch/Dispatcher.h>
#include <gaze/ops/api.hpp>
#include <gaze/ops/colour.hpp>

#include "tensors.hpp"

using namespace gaze::ops;
using namespace gaze::test;

CATCH_TEST_CASE("the ops are as safe by name as by their typed entries") {
  CATCH_CHECK_FALSE(
      c10::Dispatcher::singleton().findSchema({"gaze::colour", ""}).has_value());  // nothing before the first use
  register_ops();
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("gaze::colour", "");
  const auto call = op.typed<at::Tensor(const at::Tensor&, int64_t)>();
  const at::Tensor value = Random(32).tensor({5}, at::kFloat, 0, 1);
  CATCH_CHECK(values_of(call.call(value, 1)) == values_of(colour(value, Colormap::Inferno)));
  CATCH_CHECK(error_of([&] { call.call(value, 99); }).substr(0, 50) ==
              std::string("gaze::colour: colormap: expected a Colormap, got 99").substr(0, 50));
  for (const char* name : {"gaze::reduce_", "gaze::attend", "gaze::attend_reduce_", "gaze::normalise", "gaze::resample",
                           "gaze::blend", "gaze::contour_", "gaze::overlay_out"}) {
    CATCH_CHECK(c10::Dispatcher::singleton().findSchema({name, ""}).has_value());
  }
}
