// SPDX-License-Identifier: MIT
// A decode step while a host records it into a CUDA graph: its taps launch what every replay is to do. Knows no
// TorchScript.
#pragma once

#include <cstdint>
#include <memory>

#include "capture/attention_call.hpp"
#include "capture/capture.hpp"
#include "capture/replayed_rows.hpp"
#include "capture/step_calls.hpp"

namespace gaze {

class RecordedStep {
 public:
  /// @throws gaze::Error (StreamCapturing) where the rules ask for what a replay cannot tell
  RecordedStep(const CaptureRules& rules, std::shared_ptr<ReplayedRows> rows);
  /// Until its end it is none.
  ~RecordedStep();
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  /// A call of a selected site. One that runs again begins the next token.
  /// @throws gaze::Error (ShapeMismatch, StreamCapturing) where it is no row of one token
  void add(int64_t site, const AttentionCall& call);
  /// The method returns.
  void end();

  /// @throws as the constructor
  static void check(const CaptureRules& rules);

 private:
  /// Adds what waits to the step's rows.
  void add_waiting();
  void add_now(const AttentionCall& call, ops::RowRange wanted);
  template <typename Act>
  void with_rows(size_t medium, const Act& act);
  void next();

  const CaptureRules& rules_;
  const std::shared_ptr<ReplayedRows> rows_;
  StepCalls waiting_;
  std::vector<int64_t> ran_;  // sites, of this token
  bool ended_ = false;
};

}  // namespace gaze
