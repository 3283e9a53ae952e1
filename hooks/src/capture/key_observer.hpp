// SPDX-License-Identifier: MIT
// Who sees the keys of the attention in a graph that was edited for it. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace gaze {

/// Gets what `gaze::keys` passes on, whichever thread runs the op, until it is destroyed.
class KeyObserver {
 public:
  /// `k` has its keys along `key_axis`, counted from the end. Calls do not overlap; what they throw ends the run.
  using See = std::function<void(int64_t site, const at::Tensor& k, int64_t key_axis)>;

  explicit KeyObserver(See see);
  ~KeyObserver();
  KeyObserver(const KeyObserver&) = delete;
  KeyObserver& operator=(const KeyObserver&) = delete;

  [[nodiscard]] int64_t id() const noexcept { return id_; }
  /// No effect when no watch has this number.
  static void show(int64_t id, int64_t site, const at::Tensor& k, int64_t key_axis);

 private:
  int64_t id_;
  See see_;
};

}  // namespace gaze
