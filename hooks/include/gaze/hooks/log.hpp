// SPDX-License-Identifier: MIT
// Where log lines go.
#pragma once

#include <functional>
#include <string_view>

namespace gaze {

enum class LogLevel { Error, Warn, Info, Debug };

/// Takes one line of the log: valid UTF-8 without control characters, at most 1000 bytes, no newline at its end; valid
/// during the call. Called by attach and shutdown, and by the worker's thread, so perhaps by several at once; never on
/// the way of a request. May call the handle, but lines that it causes itself are dropped, and so is what it throws.
using LogLine = std::function<void(LogLevel level, std::string_view line)>;

}  // namespace gaze
