// SPDX-License-Identifier: MIT
// Deferred capture: the queries of some tokens wait, then one pass over the keys serves them all. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/attend.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

/// The waiting queries of one site: one row per token, with the keys of its latest call.
class DeferredQueries {
 public:
  /// Whether the call can wait behind those that do, `room` at most: one query, no mask; keys that are the same memory
  /// as before, or that grew by one since.
  [[nodiscard]] bool takes(const ops::Scores& scores, int64_t room) const;
  /// Holds a reference to the query until the flush, and one to the keys until the next call. A query that is a small
  /// part of its memory is copied.
  void keep(const ops::Scores& scores, int64_t token);
  void clear();
  /// Whether the next call's keys are those that wait, written over since, or its query lies where one waits. Keys
  /// made in inference mode do not tell.
  [[nodiscard]] bool written_over(const ops::Scores& next) const;
  /// Whether a query, or keys that several tokens share, were written over since. Nor here.
  [[nodiscard]] bool written_over() const;

  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

  [[nodiscard]] bool empty() const { return queries_.empty(); }
  /// Precondition: not empty.
  [[nodiscard]] int64_t keys() const { return k_bhkd_.size(2); }
  [[nodiscard]] at::Device device() const { return k_bhkd_.device(); }
  /// What waits, as one call of all batch rows, of which `heads` count (empty: all). It refers to the queries and the
  /// heads.
  [[nodiscard]] ops::AttendCall call(int64_t first_key, c10::ArrayRef<int64_t> heads) const;

 private:
  [[nodiscard]] bool same_memory(const at::Tensor& k_bhkd) const;

  std::vector<at::Tensor> queries_;  // [batch, heads, 1, size], of equal strides; their room is kept
  std::vector<int64_t> versions_;    // of their memory when they were kept
  std::vector<int64_t> strides_;     // of the first before it was copied
  at::Tensor k_bhkd_;
  std::optional<double> scale_;
  int64_t first_token_ = 0;
  int64_t first_keys_ = 0;  // of the first token that waits
  int64_t version_ = 0;     // of the keys' memory when they were kept
  bool grows_ = false;
  bool copies_ = false;  // queries that are a small part of their memory
};

/// @throws gaze::Error (ShapeMismatch) naming the site, of which what waits was written over
[[noreturn]] void refuse_written_over(const std::string& site);

}  // namespace gaze
