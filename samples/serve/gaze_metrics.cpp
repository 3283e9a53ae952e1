// SPDX-License-Identifier: MIT
#include "gaze_metrics.hpp"

namespace gaze::serve {
namespace {

std::string metric(const std::string& name, const char* type, const char* help, int64_t value) {
  return "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n" + name + " " + std::to_string(value) +
         "\n";
}

}  // namespace

std::string gaze_metrics_text(const Stats& stats) {
  std::string text =
      metric("gaze_requests_begun_total", "counter", "Requests opened: one per batch row.", stats.begun) +
      metric("gaze_requests_sampled_total", "counter", "Of these, captured.", stats.sampled) +
      metric("gaze_requests_written_total", "counter", "Records that the sink accepted.", stats.written) +
      metric("gaze_requests_in_flight", "gauge", "Open, queued or being written.", stats.in_flight) +
      metric("gaze_taps_total", "counter", "Attention calls reduced.", stats.taps) +
      metric("gaze_tokens_dropped_total", "counter", "Tokens beyond the limit.", stats.tokens_dropped);
  text += "# HELP gaze_requests_dropped_total Requests dropped, by reason.\n";
  text += "# TYPE gaze_requests_dropped_total counter\n";
  for (size_t i = 0; i < stats.dropped.size(); ++i)
    text += std::string("gaze_requests_dropped_total{reason=\"") + name(static_cast<DropReason>(i)) + "\"} " +
            std::to_string(stats.dropped[i]) + "\n";
  return text;
}

}  // namespace gaze::serve
