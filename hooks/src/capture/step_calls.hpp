// SPDX-License-Identifier: MIT
// Layers of a decode step that wait for each other, so that one pass adds them all. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/ops/attend.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// Calls of one step, as they ran, each of a site of its own. Queries, keys and masks are held by reference.
class StepCalls {
 public:
  /// Of keys that nobody but a step that waits would hold.
  static constexpr int64_t kMostHeldBytes = int64_t{64} << 20;
  /// @param dropped_keys  of a text: that the call's cache had dropped
  /// @param held_bytes    of keys that nobody else would hold
  void keep(int64_t site, const ops::Scores& scores, const ops::RowRange& rows, int64_t dropped_keys,
            int64_t held_bytes);
  [[nodiscard]] int64_t held_bytes() const { return held_bytes_; }
  [[nodiscard]] bool has(int64_t site) const;
  /// Whether some keys were written over since: of a step that threw, which nobody told, and whose keys the host has
  /// made anew. Keys made in inference mode do not tell.
  [[nodiscard]] bool written_over() const;
  void clear() noexcept {
    calls_.clear();
    held_bytes_ = 0;
  }

  /// Calls that may share a pass, in order.
  struct Run {
    at::Device device;
    int64_t keys, dropped_keys;
    std::vector<ops::AttendCall> calls;  ///< range.first_key is not set
  };
  /// All of them: those of a device lie together, and with `same_keys` those over as many keys.
  [[nodiscard]] std::vector<Run> runs(bool same_keys) const;
  void each_tensor(c10::function_ref<void(const at::Tensor&)> see) const;

 private:
  struct Kept {
    int64_t site, dropped_keys;
    int64_t version;  // of the keys' memory
    ops::AttendCall call;
  };
  std::vector<Kept> calls_;
  int64_t held_bytes_ = 0;
};

}  // namespace gaze
