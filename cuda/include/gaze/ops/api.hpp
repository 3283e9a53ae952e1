// SPDX-License-Identifier: MIT
// Export macro, version, and registration of the operators.
#pragma once

#define GAZE_VERSION "0.1.0"
#define GAZE_API __attribute__((visibility("default")))

namespace gaze::ops {

/// Registers the operators under their names (gaze::reduce_, gaze::attend, ...). The typed entries do it on their first
/// call; a process that never captures registers nothing. Thread-safe, idempotent.
GAZE_API void register_ops();

}  // namespace gaze::ops
