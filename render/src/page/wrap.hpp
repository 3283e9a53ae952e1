// SPDX-License-Identifier: MIT
// Text broken into lines. Costs what the lines hold, however long the text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// Width of a character, at least 1, in any unit.
using Advance = std::function<int64_t(char)>;

/// How many characters at the front of `text` are at most `limit` wide together.
size_t count_fitting(std::string_view text, const Advance& advance, int64_t limit);

/// Breaks at spaces, inside a word only where it alone is too wide. At most `most` lines; the last ends in "..." when
/// something was left out. Reads no further than the lines reach.
std::vector<std::string> wrap(std::string_view text, const Advance& advance, int64_t limit, size_t most);

}  // namespace gaze
