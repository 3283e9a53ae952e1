// SPDX-License-Identifier: MIT
// Text broken into lines. Costs what the lines hold, however long the text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// Characters that stay together; a blank is one of its own.
struct Step {
  size_t bytes;        ///< at least 1
  int64_t width;       ///< in any unit
  bool breaks_before;  ///< a line may begin with it, though no blank is before it
};

/// How wide texts are.
struct Measure {
  std::function<Step(std::string_view rest)> step;  ///< the first one of what is left of the text; that has one
  int64_t blank, dots;                              ///< of " " and "..."
};

/// Width of a character of one byte, at least 1.
using Advance = std::function<int64_t(char)>;

/// Breaks at spaces and where a step says so, inside a word only where it alone is too wide. At most `most` lines; the
/// last ends in "..." when something was left out. Reads no further than the lines reach.
std::vector<std::string> wrap(std::string_view text, const Measure& measure, int64_t limit, size_t most);
std::vector<std::string> wrap(std::string_view text, const Advance& advance, int64_t limit, size_t most);

}  // namespace gaze
