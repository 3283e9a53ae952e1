// SPDX-License-Identifier: MIT
// Finds what an attention's output is multiplied with before it joins the rest of the model.
#pragma once

#include <gaze/hooks/sites.hpp>

#include "graph/walk.hpp"

namespace gaze {

/// The gate of an attention whose weights or output `value` is: tanh or sigmoid of something, multiplied with the
/// output on its way to the next sum, as in Flamingo and Llama 3.2 Vision.
std::optional<Gate> gate_of(torch::jit::Value* value, const Owners& owners, const torch::jit::Module& self);

}  // namespace gaze
