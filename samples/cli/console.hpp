// SPDX-License-Identifier: MIT
// What the program says and how.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace gaze::cli {

/// Something the program will not do. The text says what was expected, what was found and how to go on.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// `text` with control characters and broken UTF-8 replaced, so that a file cannot steer the reader's terminal.
std::string printable(std::string_view text);

/// With a blank between two.
std::string join(const std::vector<std::string>& words);

/// One line on stderr that counts; only on a terminal, and only when the work is long.
class Progress {
 public:
  Progress(std::string what, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(int64_t done);

 private:
  std::string what_;
  int64_t total_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begun_, last_;
};

}  // namespace gaze::cli
