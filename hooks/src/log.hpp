// SPDX-License-Identifier: MIT
// Log lines of set-up and the worker; never called on the host's hot path.
#pragma once

#include <string>

namespace gaze::log {

/// off, error, warn, info or debug. False when not understood.
bool set_level(const std::string& level);
void error(const std::string& text) noexcept;
void warn(const std::string& text) noexcept;
void info(const std::string& text) noexcept;

}  // namespace gaze::log
