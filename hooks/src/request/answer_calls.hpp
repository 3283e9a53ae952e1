// SPDX-License-Identifier: MIT
// Which calls make one answer, where the host opened no request for it. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>

namespace gaze {

struct BoundRequest;

/// The first attention of a call of the model.
struct FirstAttention {
  int64_t site = 0;
  bool self = false;    ///< known to be self-attention
  int64_t queries = 0;  ///< 0: not known
  int64_t keys = 0;
};

/// What earlier calls say of the next: a step of the same answer has, at a self-attention, as many keys as there were
/// and its own queries. Allocates nothing.
class AnswerSteps {
 public:
  enum class Verdict {
    Continues,  ///< the answer
    Begins,     ///< another answer
    Stray       ///< a step of an answer, and of which one cannot be told
  };
  [[nodiscard]] Verdict judge(const FirstAttention& next) const noexcept;
  /// For the steps of what comes after this one: an answer that is computed anew for every token is known by its third.
  [[nodiscard]] AnswerSteps after(const FirstAttention& next) const noexcept;
  /// A call's first attention, when it belongs to this answer.
  void begin(const FirstAttention& first) noexcept;
  /// Any attention, of which `keys` is the latest number of keys.
  void saw(int64_t site, int64_t keys) noexcept;
  /// A site that makes the overlay ran.
  void has_rows() noexcept { rows_ = true; }
  /// Nothing ran so far.
  [[nodiscard]] bool fresh() const noexcept { return used_ == 0 && !rows_; }

 private:
  struct Known {
    int64_t site = -1, keys = 0;
  };
  [[nodiscard]] const Known* find(int64_t site) const noexcept;
  [[nodiscard]] bool recomputes(const FirstAttention& next) const noexcept;

  std::array<Known, 4> known_{};  // first attentions of methods
  size_t used_ = 0;
  bool rows_ = false;
  int repeats_ = 0;  // calls in a row of one more key each, all of them queries
};

/// Calls that share a request which nobody opened. Used on the thread that makes them; what may be used elsewhere says
/// so.
class AnswerCalls {
 public:
  using Clock = std::chrono::steady_clock;
  AnswerCalls(int64_t first_method, bool alone) : method(first_method), alone(alone), undecided(!alone) {}

  /// A further call begins. False when one runs, or the answer has ended.
  bool resume(Clock::time_point now) noexcept;
  /// The call is over.
  void pause(Clock::time_point now) noexcept;
  /// No further call belongs to it; true for the caller that ended it. Never during a call but by the call itself.
  bool end() noexcept;
  /// As end, unless a call runs. Any thread.
  bool end_between() noexcept;
  /// As end_between, when no call came for 2 s and for eight times as long as between any two calls before.
  bool end_if_idle(Clock::time_point now) noexcept;
  [[nodiscard]] bool running() const noexcept { return phase_.load() == Phase::Running; }

  int64_t method;
  const bool alone;      ///< one call: its work goes on on other threads
  bool undecided;        ///< the running call has shown no attention yet
  bool awaited = false;  ///< a call without attention ran for an answer that has not begun
  bool sample = false;   ///< the sample takes the answer that begins next
  AnswerSteps steps;
  std::shared_ptr<BoundRequest> next;  ///< the running call began another answer

  struct Offered {
    int64_t method = 0, argument = 0;
    at::Tensor input;
  };
  /// Keeps the copy of an argument of the undecided call, in place of an earlier call's of the same method.
  void offer(int64_t argument, at::Tensor copy);
  /// What was offered, once the running call is decided. An answer that goes on takes what the call itself brought: an
  /// encoder that ran before, without attention, ran for the answer that will begin.
  std::list<Offered> take_offered(bool begins) noexcept;

 private:
  std::list<Offered> offered_;
  enum class Phase { Between, Running, Ended };
  std::atomic<Phase> phase_{Phase::Running};
  std::atomic<Clock::rep> paused_{0};
  std::atomic<Clock::rep> longest_pause_{0};
};

}  // namespace gaze
