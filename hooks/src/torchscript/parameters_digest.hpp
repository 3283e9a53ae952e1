// SPDX-License-Identifier: MIT
// Which weights a module holds.
#pragma once

#include <string>

namespace torch::jit {
struct Module;
}

namespace gaze {

/// SHA-256 of names, types, sizes and up to 1024 values of each parameter and buffer, spread evenly over it; empty for
/// a module without any, as a frozen one. Cost: that many values from the model's device.
std::string parameters_digest(const torch::jit::Module& module);

}  // namespace gaze
