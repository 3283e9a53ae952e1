// SPDX-License-Identifier: MIT
// Places taps in a module's optimised graphs.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include "request/attached_model.hpp"

namespace gaze {

/// Edits the cached optimised graphs of every method for all autocast states; a method that already ran gets a new
/// Function. Idempotent per module type. @throws gaze::Error, leaving the module as it was.
AttachedModel& instrument(torch::jit::Module& module);

}  // namespace gaze
