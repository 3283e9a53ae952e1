// SPDX-License-Identifier: MIT
// What the arguments of one call tell: which method takes them, and which prompts stand among them.
#pragma once

#include <ATen/core/ivalue.h>

#include <cstdint>
#include <string>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace gaze {

struct Profile;

/// The method that a host's example inputs are for: `forward`, unless the profile's picture or sound is an argument of
/// other methods alone; then the one of these that takes them.
/// @throws gaze::Error when no method takes them, or several of the named ones do.
std::string example_method(const torch::jit::Module& module, const Profile& profile,
                           const std::vector<c10::IValue>& inputs);

/// By argument: the first row of integers [batch, tokens]; empty for what is none.
std::vector<std::vector<int64_t>> first_rows(const std::vector<c10::IValue>& arguments);

}  // namespace gaze
