// SPDX-License-Identifier: MIT
#pragma once

#include <torch/library.h>

namespace gaze::ops {

/// Registers the CPU kernels of all ops.
void implement_cpu(torch::Library& library);

}  // namespace gaze::ops
