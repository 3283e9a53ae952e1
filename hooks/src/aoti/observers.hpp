// SPDX-License-Identifier: MIT
// Between the operators that packages observe their attention with, and a capture: neither library links the other.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gaze {

/// Whom the operators of libgaze_observe.so tell; null: nobody. Its address is what `gaze::observers` returns.
struct Observers {
  /// Of this layout: another one's table is no table.
  static constexpr int64_t kVersion = 1;

  using Weights = void (*)(const at::Tensor& weights, std::string_view site, bool scaled) noexcept;
  using Scores = void (*)(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask, bool causal,
                          std::optional<double> scale, std::string_view site) noexcept;
  std::atomic<Weights> weights{nullptr};
  std::atomic<Scores> scores{nullptr};
};

}  // namespace gaze
