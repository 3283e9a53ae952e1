// SPDX-License-Identifier: MIT
// The pages that are embedded.
#pragma once

#include <string_view>

namespace gaze {
extern const std::string_view gallery_page;
extern const std::string_view diff_page;
extern const std::string_view drift_page;
}  // namespace gaze
