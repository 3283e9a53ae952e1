// SPDX-License-Identifier: MIT
// Log lines of set-up and the worker; never called on the host's hot path.
#pragma once

#include <gaze/hooks/log.hpp>

#include <string>

namespace gaze {

/// The log of one attach. Thread-safe; holds no lock while a line is said, nor at any other time.
class Log {
 public:
  /// @param level    off, error, warn, info or debug: lines below it are not said
  /// @param on_line  where they go; empty: standard error
  /// @throws gaze::Error when the level is not understood
  Log(const std::string& level, LogLine on_line);

  void error(std::string_view text) const noexcept { say(LogLevel::Error, text); }
  void warn(std::string_view text) const noexcept { say(LogLevel::Warn, text); }
  void info(std::string_view text) const noexcept { say(LogLevel::Info, text); }
  void say(LogLevel level, std::string_view text) const noexcept;

 private:
  int lowest_ = -1;  // as LogLevel; -1: off
  LogLine on_line_;
};

}  // namespace gaze
