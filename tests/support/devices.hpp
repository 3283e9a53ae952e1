// SPDX-License-Identifier: MIT
// Where the tests of the operations run: the device that GAZE_TEST_DEVICE names, the processor unless it is set. CTest
// runs every case of these programs once per device.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <dlfcn.h>
#include <gaze/ops/device.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/test.hpp"

namespace gaze::test {

/// Why this process cannot use CUDA; empty: it can.
inline std::string cuda_missing() {
  // A host links libtorch_cuda; tests that must start without it load it.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* const why = dlerror();
    return why != nullptr ? why : "libtorch_cuda.so cannot be loaded";
  }
  if (!at::hasCUDA()) return "no CUDA device";
  return gaze::ops::missing_for(at::Device(at::kCUDA, 0));
}

/// The device asked for, or none where this machine lacks it; CTest shows the case as skipped then, with the reason.
inline std::vector<at::Device> devices() {
  const char* const wanted = std::getenv("GAZE_TEST_DEVICE");
  if (wanted == nullptr || std::string(wanted) == "cpu") return {at::Device(at::kCPU)};
  static const std::string missing = cuda_missing();
  if (missing.empty()) return {at::Device(at::kCUDA, 0)};
  CATCH_WARN("gaze-skip: cuda: " << missing);
  return {};
}

}  // namespace gaze::test
