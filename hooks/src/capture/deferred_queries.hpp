// SPDX-License-Identifier: MIT
// Deferred capture: the queries of some tokens wait, then one pass over the keys serves them all. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/attend.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// The waiting queries of one site: one row per token, with the keys of its latest call.
class DeferredQueries {
 public:
  /// Whether the call can wait behind those that do: one query, no mask; keys that are the same memory as before, or
  /// that grew by one since.
  [[nodiscard]] bool takes(const ops::Scores& scores) const;
  /// Copies the query; holds a reference to the keys until the next call or the flush. `room` tokens at most.
  void keep(const ops::Scores& scores, int64_t token, int64_t room);
  void clear();
  /// Whether the next call's keys are those that wait, written over since. Keys made in inference mode do not tell.
  [[nodiscard]] bool written_over(const ops::Scores& next) const;
  /// Whether keys that several tokens share were written over since the last of them. Nor here.
  [[nodiscard]] bool written_over() const;

  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] int64_t count() const { return count_; }
  /// Precondition: not empty.
  [[nodiscard]] int64_t keys() const { return k_bhkd_.size(2); }
  [[nodiscard]] at::Device device() const { return k_bhkd_.device(); }
  /// What waits, as one call of batch row `batch`, of which `heads` count (empty: all). The heads are
  /// not copied.
  [[nodiscard]] ops::AttendCall call(int64_t batch, int64_t first_key, c10::ArrayRef<int64_t> heads);

 private:
  [[nodiscard]] bool same_memory(const at::Tensor& k_bhkd) const;

  at::Tensor q_bhtd_;  // room for all that may wait
  at::Tensor k_bhkd_;
  std::optional<double> scale_;
  int64_t count_ = 0;
  int64_t first_token_ = 0;
  int64_t first_keys_ = 0;  // of the first token that waits
  int64_t version_ = 0;     // of the keys' memory when they were kept
  bool grows_ = false;
};

}  // namespace gaze
