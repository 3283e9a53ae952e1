// SPDX-License-Identifier: MIT
// What was measured, and the tables made of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace gaze_bench {

class Times {
 public:
  Times() = default;
  explicit Times(std::vector<double> ms) : ms_(std::move(ms)) {}
  [[nodiscard]] double median() const;
  [[nodiscard]] const std::vector<double>& all() const { return ms_; }
  void append(const Times& more) { ms_.insert(ms_.end(), more.ms_.begin(), more.ms_.end()); }

 private:
  std::vector<double> ms_;
};

/// Of medians, with the 5th and 95th percentile over 1000 resamplings of the rounds.
struct Ratio {
  double median = 0, low = 0, high = 0;
};
Ratio ratio_of(const Times& above, const Times& below);

struct Line {
  std::string name;
  int threads = 1;
  Times ours = {};
  std::vector<std::pair<std::string, Times>> peers = {};
  std::optional<Times> copy = {};
  int64_t bytes = 0;
  std::vector<Gate> gates = {};
  std::string skipped = {}, error = {};
};

/// Keeps a line. One that is reported again is a repeat: its times are pooled, and the worst repeat counts for gates.
void report(Line line);
void report_bytes(const std::string& name, int64_t want, int64_t got);

/// Load average now, as the system prints it.
std::string load_average();

/// Whether some line gave a wrong result or threw.
bool any_error();

/// The table `gate | want | got | pass/miss` on standard output. @return whether none was missed
bool print_gates();
/// Environment and tables for docs/performance.md. @return false when the file could not be written
bool write_markdown(const std::string& path, const std::string& load_before);

}  // namespace gaze_bench
