// SPDX-License-Identifier: MIT
// Every call's weights as they are. Knows no TorchScript.
#pragma once

#include <gaze/hooks/request.hpp>

#include <vector>

#include "capture/capture.hpp"

namespace gaze {

class ExactCapture final : public Capture {
 public:
  explicit ExactCapture(const CaptureRules& rules) : rules_(rules) {}
  [[nodiscard]] bool wants(int64_t /*site*/) const noexcept override { return true; }
  /// Copies batch x heads x queries x keys floats to the host, and waits for them.
  void on_call(int64_t site, const AttentionCall& call) override;

  std::vector<ExactWeights> kept;  ///< in the order of the calls

 private:
  const CaptureRules& rules_;
  std::vector<int64_t> calls_;  // by site; of those that ran
};

}  // namespace gaze
