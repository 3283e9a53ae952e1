// SPDX-License-Identifier: MIT
#include "page/time_axis.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace gaze {
namespace {

struct Step {
  double seconds;
  int parts;  ///< small ticks divide it in as many
  int decimals;
};

// 1, 2, 5 of every power of ten below a minute, then what clocks have.
Step step_for(double least) {
  for (int decimals = 6; decimals >= 0; --decimals) {
    const double unit = std::pow(10.0, -decimals);
    for (const auto& [factor, parts] : {std::pair{1, 5}, {2, 4}, {5, 5}}) {
      if (factor * unit >= least) return {factor * unit, parts, decimals};
    }
  }
  for (const auto& [seconds, parts] :
       {std::pair{10, 5}, {20, 4}, {30, 3}, {60, 6}, {120, 4}, {300, 5}, {600, 5}, {1800, 3}}) {
    if (seconds >= least) return {static_cast<double>(seconds), parts, 0};
  }
  return {3600 * std::ceil(least / 3600), 4, 0};
}

}  // namespace

std::vector<TimeTick> time_ticks(double first, double last, double seconds_per_label) {
  const Step step = step_for(seconds_per_label);
  const double part = step.seconds / step.parts;
  // Rounding must not lose a tick that lies on an end.
  const auto from = static_cast<int64_t>(std::ceil(first / part - 1e-6));
  const auto to = static_cast<int64_t>(std::floor(last / part + 1e-6));
  std::vector<TimeTick> ticks;
  for (int64_t i = from; i <= to; ++i) {
    const double seconds = static_cast<double>(i) * part;
    ticks.push_back({seconds, i % step.parts == 0 ? clock_text(seconds, step.decimals) : std::string()});
  }
  return ticks;
}

std::string clock_text(double seconds, int decimals) {
  const double unit = std::pow(10.0, -decimals);
  const double rounded = std::round(seconds / unit) * unit;
  char text[64];
  if (rounded < 60 - unit / 2) {
    std::snprintf(text, sizeof text, "%.*f s", decimals, std::max(0.0, rounded));
    return text;
  }
  const auto minutes = static_cast<int64_t>((rounded + unit / 2) / 60);
  const double rest = std::max(0.0, rounded - 60 * static_cast<double>(minutes));
  const int width = decimals > 0 ? 3 + decimals : 2;
  if (minutes < 60) {
    std::snprintf(text, sizeof text, "%d:%0*.*f", static_cast<int>(minutes), width, decimals, rest);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02d:%0*.*f", static_cast<long long>(minutes / 60),
                  static_cast<int>(minutes % 60), width, decimals, rest);
  }
  return text;
}

std::string seconds_text(double seconds) {
  char text[512];  // the largest number has 309 digits
  std::snprintf(text, sizeof text, "%.2f s", seconds);
  return text;
}

}  // namespace gaze
