// SPDX-License-Identifier: MIT
// The library with the CUDA kernels loads without a GPU, and gives every op its kernel.
#include <ATen/core/dispatch/Dispatcher.h>
#include <gaze/ops/device.hpp>

#include <string>

#include "support/test.hpp"

CATCH_TEST_CASE("the CUDA part loads beside the core and has a kernel for every op") {
#ifndef GAZE_HAS_CUDA
  CATCH_CHECK(gaze::ops::missing_for(at::Device(at::kCUDA, 0)).find("libgaze_cuda.so") != std::string::npos);
#else
  gaze::ops::register_ops();
  CATCH_REQUIRE(gaze::ops::missing_for(at::Device(at::kCUDA, 0)) == "");
  CATCH_CHECK(gaze::ops::missing_for(at::Device(at::kCPU)) == "");
  for (const char* name :
       {"reduce_", "attend", "attend_reduce_", "normalise", "resample", "colour", "blend", "contour_", "overlay_out"}) {
    CATCH_CAPTURE(name);
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow((std::string("gaze::") + name).c_str(), "");
    CATCH_CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::CPU));
    CATCH_CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::CUDA));
  }
#endif
  CATCH_CHECK_FALSE(gaze::ops::capturing(at::Device(at::kCPU)));
  gaze::ops::allow_calls_while_capturing(at::Device(at::kCPU));
}
