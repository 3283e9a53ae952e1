// SPDX-License-Identifier: MIT
// Answers for which nobody opened a request, between two calls of the model. Knows no TorchScript.
#pragma once

#include <atomic>
#include <list>
#include <memory>

#include "delivery/worker.hpp"
#include "request/answer_calls.hpp"

namespace gaze {

struct RequestState;

/// Any thread. What it holds is counted as in flight, and ends when its thread's next call begins another answer, when
/// none comes, or at flush and shutdown.
class HeldAnswers final : public Chores {
 public:
  void hold(const std::shared_ptr<RequestState>& request);
  void let_go(const RequestState* request) noexcept;
  /// Finishes all that are between two calls.
  void finish() noexcept;
  /// Finishes those whose next call is overdue.
  Clock::time_point run(Clock::time_point now) noexcept override;

 private:
  template <typename Ends>
  void finish_those(const Ends& ends, void (RequestState::*finish)() noexcept) noexcept;

  using Held = std::list<std::shared_ptr<RequestState>>;
  Held held_;  // behind the fork gate
};

}  // namespace gaze
