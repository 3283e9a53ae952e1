// SPDX-License-Identifier: MIT
// What the replays of CUDA graphs add to: they run no tap, only the kernels that the taps launched while they were
// recorded. Knows no TorchScript.
#pragma once

#include <gaze/ops/reduce.hpp>
#include <gaze/render/geometry.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "capture/attention_call.hpp"

namespace gaze {

/// Rows of the steps that graphs replay, one behind another, until somebody begins anew. All in one piece of memory,
/// which stays where it is.
class ReplayedRows {
 public:
  /// Graphs that agree in it share the rows: one after another, they make one answer.
  struct Shape {
    at::Device device = at::kCPU;
    int64_t batch = 0;
    std::vector<KeySpan> spans;  ///< of each medium
    [[nodiscard]] bool operator==(const Shape& other) const;
  };
  /// A site whose calls were recorded.
  struct SiteCalls {
    int64_t site = 0, heads = 0;
  };

  /// @param tokens  that there is room for
  /// @throws gaze::Error (HostBudget) where that takes more than `budget_bytes`
  ReplayedRows(Shape shape, int64_t keys, int64_t tokens, int64_t budget_bytes);

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] int64_t keys() const noexcept { return keys_; }
  [[nodiscard]] int64_t tokens() const noexcept { return tokens_; }
  /// What a batch row's step adds to.
  [[nodiscard]] ops::Accumulator& step(size_t row, size_t medium) { return step_mb_[medium][row]; }
  /// The step is whole: it goes behind those before it. All asynchronous on the device's current stream.
  void append();
  /// Nothing was replayed by now.
  void begin();
  /// Keeps how much was replayed by now.
  void mark();

  /// A copy of what was replayed, in memory of its own.
  struct Copy {
    at::Tensor memory;
    at::Tensor count;                       ///< int32 []: steps, those without room included
    at::Tensor marked;                      ///< int32 []: of them, by the latest mark()
    std::vector<ops::Accumulator> steps_m;  ///< [tokens * batch, cells]: step s of batch row b is row s * batch + b
  };
  [[nodiscard]] Copy copy() const;

  /// A graph holds part of a step: what its replays add is none.
  void spoil() noexcept { spoilt_.store(true, std::memory_order_release); }
  [[nodiscard]] bool spoilt() const noexcept { return spoilt_.load(std::memory_order_acquire); }

  void saw(int64_t site, int64_t heads);
  [[nodiscard]] std::vector<SiteCalls> sites() const;

 private:
  /// The parts of a piece of memory laid out as `memory_` is.
  [[nodiscard]] at::Tensor counter(const at::Tensor& memory, size_t medium) const;
  [[nodiscard]] ops::Accumulator steps(const at::Tensor& memory, size_t medium) const;

  const Shape shape_;
  const int64_t keys_, tokens_;
  std::vector<int64_t> counters_m_, at_m_, steps_at_m_;  // in floats of memory_
  int64_t beginning_ = 0;                                // what begin() zeroes: the mark, counters, latest steps
  at::Tensor memory_;
  std::vector<std::vector<ops::Accumulator>> step_mb_;
  std::vector<ops::Accumulator> whole_step_m_, steps_m_;
  std::vector<at::Tensor> count_m_;
  std::atomic<bool> spoilt_{false};
  mutable std::mutex mutex_;  // of the next
  std::vector<SiteCalls> sites_;
};

/// What is known of a call that nobody saw: where it looks, and no more.
class UnseenCall final : public AttentionCall {
 public:
  UnseenCall(int64_t batch, int64_t keys, at::Device device) : AttentionCall(batch, 1, 1, keys, device) {}
  void add(const ops::RowRange&, const ops::ReduceOptions&, c10::ArrayRef<ops::Accumulator*>) const override {}
  [[nodiscard]] at::Tensor weights(int64_t, int64_t, int64_t) const override { return {}; }
  [[nodiscard]] at::Tensor exact() const override { return {}; }
  [[nodiscard]] at::Tensor sees_beyond(int64_t, int64_t) const override { return {}; }
  [[nodiscard]] std::shared_ptr<const AttentionCall> keep() const override { return nullptr; }
  void each_tensor(c10::function_ref<void(const at::Tensor&)>) const override {}
};

}  // namespace gaze
