// SPDX-License-Identifier: MIT
// One thread and a queue bounded in bytes between capture and a sink.
#pragma once

#include <gaze/hooks/stats.hpp>
#include <gaze/render/sink.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

namespace gaze {

/// Request counts that always add up. Thread-safe.
class Counters {
 public:
  void begun(int64_t requests) noexcept;
  void sampled(int64_t requests) noexcept;
  void written() noexcept;
  void dropped(DropReason reason, int64_t requests = 1) noexcept;  ///< a sampled request ends unwritten
  void not_sampled(int64_t requests) noexcept;
  void self_check_failed() noexcept;
  void taps(int64_t calls, int64_t tokens_dropped) noexcept;
  [[nodiscard]] Stats snapshot() const noexcept;

 private:
  mutable std::mutex mutex_;
  Stats stats_;
};

class Worker {
 public:
  /// Starts the thread: signals masked, low priority, one compute thread.
  Worker(std::shared_ptr<Sink> sink, int64_t queue_bytes, std::shared_ptr<Counters> counters);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Never waits for the sink; a full queue drops and counts.
  void push(AttentionRecord&& record) noexcept;
  bool flush(std::chrono::milliseconds timeout) noexcept;
  void shutdown(std::chrono::milliseconds timeout) noexcept;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable work;
    std::condition_variable idle;
    std::deque<AttentionRecord> queue;
    int64_t queued_bytes = 0;
    int64_t budget_bytes = 0;
    bool busy = false;
    bool stop = false;
    bool ended = false;
    std::shared_ptr<Sink> sink;
    std::shared_ptr<Counters> counters;
    std::set<std::pair<DropReason, std::string>> told;
  };
  static void run(const std::shared_ptr<State>& state);
  static void consume(State& state, const AttentionRecord& record);
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive a bounded shutdown
  std::thread thread_;
  int fork_generation_ = 0;
};

}  // namespace gaze
