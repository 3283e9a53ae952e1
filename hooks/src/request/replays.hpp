// SPDX-License-Identifier: MIT
// Which request the replays of CUDA graphs belong to: the one that the host has open. Knows no TorchScript.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "capture/replayed_rows.hpp"
#include "process/fork_gate.hpp"

namespace gaze {

class Replays;

/// An open request of the host's, captured or not.
class ReplayClaim {
 public:
  explicit ReplayClaim(Replays& of) : of_(of) {}
  ~ReplayClaim();
  ReplayClaim(const ReplayClaim&) = delete;
  ReplayClaim& operator=(const ReplayClaim&) = delete;

  std::vector<std::shared_ptr<ReplayedRows>> rows;  ///< that began with the request
  std::atomic<bool> overlapped{false};              ///< another request was open meanwhile: replays may be of either

 private:
  Replays& of_;
};

/// Of one attach: what its graphs' replays add to.
class Replays {
 public:
  /// What a graph that is being recorded on `shape.device` is to add to. Graphs of one shape share it. Kept while the
  /// graph is, whatever becomes of this.
  /// @throws gaze::Error (HostBudget, StreamCapturing)
  std::shared_ptr<ReplayedRows> rows_for_graph(const ReplayedRows::Shape& shape, int64_t keys, int64_t tokens,
                                               int64_t budget_bytes);
  /// A request of `batch` rows is opened; captured, what graphs add begins anew with it, on the current streams. Costs
  /// an allocation; where graphs were recorded, a fill for each shape.
  std::unique_ptr<ReplayClaim> begin(int64_t batch, bool captured);

 private:
  friend ReplayClaim;
  void end(const ReplayClaim& claim) noexcept;

  const int generation_ = fork_generation();
  std::mutex mutex_;  // in a forked child as another thread left it
  std::vector<std::shared_ptr<ReplayedRows>> rows_;
  std::vector<ReplayClaim*> open_;
};

}  // namespace gaze
