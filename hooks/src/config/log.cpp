// SPDX-License-Identifier: MIT
// The only file that includes spdlog: torch ships another fmt.
#include "config/log.hpp"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>
#include <gaze/render/status.hpp>
#include <gaze/render/text.hpp>

#include <cerrno>
#include <utility>

namespace gaze {
namespace {

constexpr size_t kMaxBytes = 1000;

thread_local bool speaking = false;

/// On one line whatever it holds: a path or a model's text must not forge lines nor steer a terminal.
std::string line_of(std::string_view text) {
  if (text.size() <= kMaxBytes) {
    if (std::string line = one_line(text); line.size() <= kMaxBytes) return line;
  }
  // Bytes that are no UTF-8 become three.
  std::string line = one_line(text.substr(0, kMaxBytes));
  size_t end = std::min(line.size(), kMaxBytes - 3);
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
  line.resize(end);
  return line + "...";
}

/// One write without a lock: a thread that stands in it, before a full pipe say, holds up no other, nor a fork.
void write_stderr(LogLevel level, const std::string& line) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::err, spdlog::level::warn, spdlog::level::info,
                                                          spdlog::level::debug};
  spdlog::pattern_formatter formatter;
  spdlog::memory_buf_t bytes;
  formatter.format(spdlog::details::log_msg("gaze", kLevels[static_cast<size_t>(level)], line), bytes);
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t count = ::write(STDERR_FILENO, bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno != EINTR) return;
    if (count > 0) written += static_cast<size_t>(count);
  }
}

}  // namespace

Log::Log(const std::string& level, LogLine on_line) : on_line_(std::move(on_line)) {
  static constexpr std::string_view kLevels[] = {"error", "warn", "info", "debug"};
  for (const std::string_view known : kLevels) {
    ++lowest_;
    if (level == known) return;
  }
  lowest_ = -1;
  if (level != "off")
    throw Error("options.log: expected off, error, warn, info or debug, got \"" + level + "\". Correct it.");
}

void Log::say(LogLevel level, std::string_view text) const noexcept {
  if (static_cast<int>(level) > lowest_ || speaking) return;
  speaking = true;
  try {
    const std::string line = line_of(text);
    if (on_line_) {
      on_line_(level, line);
    } else {
      write_stderr(level, line);
    }
  } catch (...) {  // a log line is never worth a host
  }
  speaking = false;
}

}  // namespace gaze
