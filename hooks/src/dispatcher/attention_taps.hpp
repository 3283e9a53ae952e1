// SPDX-License-Identifier: MIT
// The attention among torch's own operators, as it runs on a thread.
#pragma once

namespace gaze {

/// Once per process, and never undone: to remove kernels while others run ends the process.
/// @throws gaze::Error where torch has kernels of others at their place; nothing is registered then
void register_attention_taps();

}  // namespace gaze
