// SPDX-License-Identifier: MIT
// Where the tests of the operations run.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "support/test.hpp"

namespace gaze::test {

struct TestDevice {
  at::Device device;
  std::string missing;  ///< why it cannot be used here; empty: it can
};

/// Every device the operations have kernels for.
inline std::vector<TestDevice> all_devices() { return {{at::kCPU, ""}}; }

/// Those this machine has; CTest shows a case that lacks one as skipped, with the reason.
inline std::vector<at::Device> devices() {
  std::vector<at::Device> here;
  for (const TestDevice& each : all_devices()) {
    if (each.missing.empty()) {
      here.push_back(each.device);
    } else {
      CATCH_WARN("gaze-skip: " << each.device.str() << ": " << each.missing);
    }
  }
  return here;
}

}  // namespace gaze::test
