// SPDX-License-Identifier: MIT
// Which requests are captured now. Knows no TorchScript.
#pragma once

#include <c10/util/SmallVector.h>
#include <gaze/hooks/control.hpp>
#include <gaze/hooks/request.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "operate/breaker.hpp"

namespace gaze {

/// What was decided of each row of a batch.
class Choices {
 public:
  explicit Choices(size_t rows, DropReason reason) : rows_(rows, reason) {}
  /// For a row that is captured.
  static constexpr DropReason kCaptured = DropReason::kCount;
  DropReason& operator[](size_t row) { return rows_[row]; }
  DropReason operator[](size_t row) const { return rows_[row]; }
  [[nodiscard]] size_t size() const { return rows_.size(); }
  [[nodiscard]] int64_t captured() const { return std::count(rows_.begin(), rows_.end(), kCaptured); }

 private:
  c10::SmallVector<DropReason, 16> rows_;
};

/// Set by any thread, asked by the host's threads, which never wait for whoever sets it.
class ControlState {
 public:
  /// @throws gaze::Error for what is out of its range
  explicit ControlState(const Control& control);

  /// By the host. `next` begins anew where it differs from what the host set before.
  /// @throws gaze::Error for what is out of its range; nothing is changed then
  void set(const Control& control);
  /// By control files, each of which wins over those before it and over the host. `next` begins anew where one says
  /// another than before, and what is left of it ends with the last file that says anything.
  /// @return what was not understood, a sentence each
  std::vector<std::string> set_files(std::vector<std::string> texts, int64_t now_seconds);
  /// With what is left of `next`.
  [[nodiscard]] Control get() const;
  [[nodiscard]] bool on() const noexcept { return capture_.load(std::memory_order_relaxed); }
  [[nodiscard]] double sample_rate() const noexcept { return sample_rate_.load(std::memory_order_relaxed); }
  [[nodiscard]] KeepRule keep() const;
  [[nodiscard]] bool wants_next() const noexcept { return next_.load(std::memory_order_relaxed) > 0; }

  /// @param drawn  the sample takes the batch
  /// Allocates nothing for up to 16 rows.
  [[nodiscard]] Choices decide(const std::vector<RequestSpec>& batch, bool drawn);
  /// The same of a call for which the host opened no request. Allocates nothing.
  [[nodiscard]] DropReason decide_unasked(bool drawn) noexcept;

  Breaker breaker;

 private:
  struct Patterns {
    std::string ids, prompts;
    [[nodiscard]] bool name(const RequestSpec& spec) const {
      return (!ids.empty() && matches(ids, spec.id)) || (!prompts.empty() && matches(prompts, spec.prompt));
    }
  };
  [[nodiscard]] DropReason decide_row(const RequestSpec& spec, bool drawn);
  [[nodiscard]] bool take_next() noexcept;
  [[nodiscard]] DropReason admit() noexcept;
  [[nodiscard]] bool within_limit(int64_t now_ns) noexcept;
  [[nodiscard]] const Patterns* kept(Patterns wanted);
  /// Behind the mutex: makes it what decides.
  void apply(const Control& control);
  void count_down_from(int64_t next, bool for_files);

  std::atomic<bool> capture_{true};
  std::atomic<double> sample_rate_{1};
  std::atomic<int64_t> next_{0};
  std::atomic<const Patterns*> patterns_{nullptr};
  std::atomic<int64_t> nanoseconds_each_{0};  // of `per_second`; 0: no limit
  std::atomic<int64_t> next_free_ns_{0};

  mutable std::mutex mutex_;  // of those that set and show it
  Control by_host_, set_;
  std::vector<std::string> files_;
  int64_t next_of_files_ = -1;  // -1: none says
  bool counts_for_files_ = false;
  // Whoever asks holds no lock, so that none of them may ever be gone; there are as many as somebody thought of.
  std::vector<std::unique_ptr<const Patterns>> all_patterns_;
};

}  // namespace gaze
