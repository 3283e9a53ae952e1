// SPDX-License-Identifier: MIT
// Whether a batch is captured, which may be changed while the server runs. All that the server decides about capture is
// decided here.
#pragma once

#include <atomic>
#include <optional>

#include "question.hpp"

namespace gaze::serve {

class CaptureSwitch {
 public:
  /// @param able  false: capture cannot be turned on in this process
  CaptureSwitch(bool able, bool capture, double sample_rate)
      : able_(able), capture_(able && capture), sample_rate_(sample_rate) {}

  /// Of a batch whose requests all have this wish: off is off, whoever says so; what nobody said is sampled.
  [[nodiscard]] bool choose(Wish wish) const;

  [[nodiscard]] bool able() const noexcept { return able_; }
  [[nodiscard]] bool capture() const noexcept { return capture_.load(); }
  [[nodiscard]] double sample_rate() const noexcept { return sample_rate_.load(); }
  /// What is not given stays as it is. @param sample_rate  0..1
  void set(std::optional<bool> capture, std::optional<double> sample_rate) noexcept;

 private:
  const bool able_;
  std::atomic<bool> capture_;
  std::atomic<double> sample_rate_;
};

}  // namespace gaze::serve
