// SPDX-License-Identifier: MIT
// The operators the edited graphs call.
#pragma once

namespace gaze {

/// Registers gaze::tap, observe, enter, offer and leave, once; nothing is registered in a process that never captures.
void register_tap_ops();

}  // namespace gaze
