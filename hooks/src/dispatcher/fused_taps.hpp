// SPDX-License-Identifier: MIT
// Operators that hold a whole attention: what they compute it from.
#pragma once

#include <vector>

namespace torch {
class Library;
}

namespace gaze {

/// Of operators of aten, without overloads.
std::vector<const char*> fused_names();
/// Those that this torch has.
void register_fused_taps(torch::Library& library);

}  // namespace gaze
