// SPDX-License-Identifier: MIT
// One line of the benchmark: our way of doing a piece of work, other ways of doing it, and a copy of the same bytes,
// all in one process, interleaved in random order, each with buffers of its own.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace gaze_bench {

/// The command line.
struct Settings {
  c10::Device device = c10::kCPU;
  bool gates = false;    ///< judge the gates, exit with 1 on a miss
  std::string markdown;  ///< file for the tables
  std::string python;    ///< interpreter with matplotlib
  int64_t rounds = 41;   ///< of the fast ways; slow ones run as often as the subject's seconds allow, at least 7
  bool smoke = false;    ///< one round of everything: does it still run?
  std::string command;   ///< as given
};
const Settings& settings();

/// One way of doing the work.
struct Way {
  std::string name;
  std::function<void()> run = {};
  std::function<void()> before = {};     ///< not timed
  std::vector<double> measured_ms = {};  ///< instead of `run`: measured in another process
  int64_t units = 1;                     ///< pieces of work in one run; times are per piece
  bool waits = false;                    ///< `run` waits for the device, so the host's clock tells its time
};

/// What a line must reach. Compared is the unfavourable end of the bootstrapped 90 % interval.
struct Gate {
  enum class Kind {
    FasterThan,    ///< time of the peer / our time >= want
    ShareOfPeer,   ///< our time / time of the peer <= want
    TimesTheCopy,  ///< our time / time of a copy of the same bytes <= want
    ShareOfCopy,   ///< time of a copy of the same bytes / our time >= want
  };
  Kind kind;
  double want;
  size_t peer = 0;
  bool on_median = false;  ///< else on the end that speaks against us
};

struct Subject {
  Way ours;
  std::vector<Way> peers;
  int64_t bytes = 0;                   ///< read and written by ours in a run; 0: no copy beside it
  std::function<std::string()> check;  ///< what is wrong with our results; empty when nothing is
  std::vector<Gate> gates;
  double seconds = 4;  ///< that each way may take
};

/// Thrown while a subject is made: this machine cannot run it, and why.
class Skip : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// `make` runs when the line's turn comes, with `threads` set for torch and OpenCV.
void add(const std::string& name, int threads, std::function<Subject()> make);

/// A line without times, on the CPU only: a number of bytes, at most `want`.
void add_bytes(const std::string& name, int64_t want, std::function<int64_t()> measure);

/// 1, and all that torch uses by default; in a smoke run the latter only.
std::vector<int> thread_counts();

/// Waits until the device has done what was asked of it.
void synchronise();

/// Sets of buffers on a device, taken in turn so that no run finds the last one's in the cache; the CPU has one.
inline size_t buffer_sets() { return settings().device.is_cpu() ? 1 : 8; }

/// Subjects, by the file they are in.
void add_overlay_lines();
void add_rows_lines();
void add_sound_lines();
void add_speech_lines();
void add_answer_lines();
void add_decoder_lines();
void add_files_lines();

}  // namespace gaze_bench
