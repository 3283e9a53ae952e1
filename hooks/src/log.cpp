// SPDX-License-Identifier: MIT
// The only file that includes spdlog: torch ships another fmt.
#include "log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace gaze::log {
namespace {

// Leaked: a host's static destructors may still log.
spdlog::logger& logger() {
  static auto* logger = [] {
    auto* made = new spdlog::logger("gaze", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *logger;
}

void write(spdlog::level::level_enum level, const std::string& text) noexcept {
  try {
    logger().log(level, "{}", text);
  } catch (...) {  // a log line is never worth a host
  }
}

}  // namespace

bool set_level(const std::string& level) {
  static constexpr std::pair<const char*, spdlog::level::level_enum> kLevels[] = {{"off", spdlog::level::off},
                                                                                  {"error", spdlog::level::err},
                                                                                  {"warn", spdlog::level::warn},
                                                                                  {"info", spdlog::level::info},
                                                                                  {"debug", spdlog::level::debug}};
  for (const auto& [text, value] : kLevels) {
    if (level == text) {
      logger().set_level(value);
      return true;
    }
  }
  return false;
}

void error(const std::string& text) noexcept { write(spdlog::level::err, text); }
void warn(const std::string& text) noexcept { write(spdlog::level::warn, text); }
void info(const std::string& text) noexcept { write(spdlog::level::info, text); }

}  // namespace gaze::log
