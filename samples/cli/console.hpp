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

/// What an error of LibTorch says to the person who runs the program: one line, no C++ frames, no lists of backends, no
/// plea to report a bug. Ends with a full stop.
std::string brief(std::string text);

/// The one of `names` that `typed` was probably meant to be; empty: none is near.
std::string nearest(std::string_view typed, const std::vector<std::string>& names);

/// With a blank between two.
std::string join(const std::vector<std::string>& words);

/// "probe  37 of 120 runs, about 40 s left" on stderr: one line that is written over, on a terminal, when the work
/// takes longer than a second; elsewhere a line after 10 s, and then ever more rarely.
class Progress {
 public:
  /// @param verb  of the program
  /// @param units what is counted
  Progress(std::string verb, std::string units);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(int64_t done, int64_t total);

 private:
  std::string verb_, units_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begun_, next_;
};

}  // namespace gaze::cli
