// SPDX-License-Identifier: MIT
// What replays of CUDA graphs added to a request. How much that is, the worker's thread finds out: a count on the
// device, which the host's thread never reads. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "capture/replayed_rows.hpp"
#include "capture/row_answer.hpp"

namespace gaze {

/// Of all rows of a request.
struct ReplayedCopies {
  struct Of {
    ReplayedRows::Shape shape;
    ReplayedRows::Copy copy;
    std::vector<SiteUse> sites;  ///< one call each: of a replay
    bool gathers = false;        ///< some site gathers the rows of its batch anew
    bool spoilt = false;
  };
  std::vector<Of> all;
  bool overlapped = false;
};

/// Of one row.
class ReplayedAnswer {
 public:
  struct Beside {
    int64_t tokens = 0;          ///< captured by taps
    std::vector<KeySpan> spans;  ///< that these were looked at on
    int64_t max_tokens = 0;
    std::string untold;   ///< what the host did that no replay can be told apart by; empty: nothing
    std::string nothing;  ///< what a request without any token says
  };
  ReplayedAnswer(std::shared_ptr<const ReplayedCopies> copies, size_t row, Beside beside);

  /// As if all steps that there is room for had been replayed: where taps captured none.
  [[nodiscard]] RowAnswer answer(size_t medium, const ops::ReduceOptions& by) const;
  /// Puts the replayed steps behind what taps captured. What cannot be put together becomes the record's error. Waits
  /// for the device.
  void join(AttentionRecord& record, std::vector<RowAnswer>& answers) const;

  [[nodiscard]] int64_t bytes() const;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

 private:
  struct Steps {
    const ReplayedCopies::Of* of = nullptr;
    int64_t count = 0;  ///< those without room included
  };
  /// @throws gaze::Error where it cannot be told which steps, of which request, in which order
  [[nodiscard]] Steps replayed() const;
  [[nodiscard]] ops::Accumulator rows_of(const ReplayedCopies::Of& of, size_t medium) const;
  void append(const Steps& steps, AttentionRecord& record, std::vector<RowAnswer>& answers) const;

  std::shared_ptr<const ReplayedCopies> copies_;
  size_t row_;
  Beside beside_;
};

}  // namespace gaze
