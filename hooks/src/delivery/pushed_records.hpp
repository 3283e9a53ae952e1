// SPDX-License-Identifier: MIT
// Where the host's threads leave records for the worker: nobody waits for anybody.
#pragma once

#include <gaze/render/record.hpp>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>

namespace gaze {

class RecordRest;

struct Queued {
  AttentionRecord record;
  std::unique_ptr<RecordRest> rest;
  int64_t bytes = 0;
};
/// What a record is beside its tensors and texts: 4.4 KiB were counted of small ones, more with what lies between.
constexpr int64_t kBesideBytes = 8 << 10;
int64_t bytes_of(const Queued& queued);

using Queue = std::list<Queued>;  // only pushing allocates

class PushedRecords {
 public:
  /// One that was pushed, and what was pushed before it.
  struct Pushed {
    Queue one;
    Pushed* before = nullptr;
  };
  /// @throws std::bad_alloc
  static std::unique_ptr<Pushed> make(Queued&& queued);

  PushedRecords() = default;
  ~PushedRecords();
  PushedRecords(const PushedRecords&) = delete;
  PushedRecords& operator=(const PushedRecords&) = delete;

  /// False once it is closed: `one` is then the caller's still. Any thread.
  bool add(std::unique_ptr<Pushed>& one) noexcept;
  /// What was pushed goes behind `queue`, in order. One thread at a time, as `close`.
  void gather(Queue& queue) noexcept;
  /// As `gather`, and nothing can be pushed any more.
  void close(Queue& queue) noexcept;
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] bool closed() const noexcept;

 private:
  void take(Queue& queue, Pushed* left) noexcept;
  std::atomic<Pushed*> latest_{nullptr};  // null: all was gathered
};

}  // namespace gaze
