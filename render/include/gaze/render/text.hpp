// SPDX-License-Identifier: MIT
// Texts of others on a line of one's own.
#pragma once

#include <gaze/ops/api.hpp>

#include <string>
#include <string_view>

namespace gaze {

/// Valid UTF-8 on one line: what is not UTF-8 becomes U+FFFD; control characters and line separators a space.
GAZE_API std::string one_line(std::string_view bytes);

}  // namespace gaze
