// SPDX-License-Identifier: MIT
// One thread and a queue bounded in bytes between capture and a sink.
#pragma once

#include <gaze/ops/api.hpp>
#include <gaze/render/sink.hpp>

#include <chrono>
#include <memory>

#include "config/log.hpp"
#include "delivery/counters.hpp"
#include "delivery/guard.hpp"

namespace gaze {

/// What the thread does beside writing records.
class Chores {
 public:
  using Clock = std::chrono::steady_clock;
  Chores() = default;
  Chores(const Chores&) = delete;
  Chores& operator=(const Chores&) = delete;
  virtual ~Chores() = default;
  /// Does what is due. On the worker's thread, whenever its bell rings or the time it asked for has come.
  /// @return when to come again at the latest; Clock::time_point::max(): when the bell rings
  virtual Clock::time_point run(Clock::time_point now) noexcept = 0;
  /// What became of a record that was consumed; DropReason::kCount: it was kept. On the thread.
  virtual void outcome(const AttentionRecord& record, DropReason reason) noexcept {
    (void)record;
    (void)reason;
  }
  /// The thread is about to end. On it.
  virtual void end() noexcept {}
};

/// What is left to be done to a record before anyone reads it.
class RecordRest {
 public:
  RecordRest() = default;
  RecordRest(const RecordRest&) = delete;
  RecordRest& operator=(const RecordRest&) = delete;
  virtual ~RecordRest() = default;
  /// What is kept for it beside the record, host and device.
  [[nodiscard]] virtual int64_t bytes() const = 0;
  /// Does it. On any thread, once.
  virtual void complete(AttentionRecord& record) = 0;
  /// Lets go of what the record is as good without. Before `complete`, on the host's thread.
  virtual void lighten(AttentionRecord& record) = 0;
};

/// At the end of the process, before workers are asked to end: what is finished may still be written. Called once; from
/// a library that stays loaded.
GAZE_API void before_workers_end(void (*call)());

class Worker {
 public:
  /// Starts the thread: signals masked, low priority, one compute thread. It also says what `counters` drop.
  /// @param chores  null: none
  /// @param guard   decides what is kept of a record; with one, records wait as they are. Empty: all is kept
  /// @throws gaze::Error (HostBudget) when no thread can be had
  Worker(std::shared_ptr<Sink> sink, int64_t queue_bytes, std::shared_ptr<Counters> counters,
         std::shared_ptr<const Log> log, std::shared_ptr<Chores> chores = nullptr, Guard guard = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// What the first record of `device` would wait for; what cannot be had is left to it.
  void prepare(at::Device device) noexcept;
  /// Never waits for the sink; a full queue drops and counts.
  /// @param rest  for the worker's thread; lightened where the queue has no room for what it keeps. Null: nothing
  void push(AttentionRecord&& record, std::unique_ptr<RecordRest> rest = nullptr) noexcept;
  /// Any timeout; false at once within the sink itself, and in a forked child.
  bool flush(std::chrono::milliseconds timeout) noexcept;
  /// Any timeout. What is queued when it has passed is dropped and counted, and the record that the sink is at is given
  /// up at its next frame. Does not wait within the sink itself, nor in a forked child.
  void shutdown(std::chrono::milliseconds timeout) noexcept;

  struct State;

 private:
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive a bounded shutdown
};

}  // namespace gaze
