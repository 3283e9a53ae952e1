// SPDX-License-Identifier: MIT
// What attach asks of the environment beside its options.
#pragma once

#include <gaze/hooks/options.hpp>

namespace gaze {

/// False when capture is off for certain, by `options` or environment. Allocates nothing.
bool capture_wanted(const Options& options) noexcept;

/// Whether a variable has a value that is not empty.
bool is_set(const char* variable) noexcept;

}  // namespace gaze
