// SPDX-License-Identifier: MIT
// Waiting for a device by asking, so that neither a stream nor the device is held up.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <gaze/ops/transfer.hpp>

#include <optional>

#include "base/for_parts.hpp"

namespace gaze {

/// When what was enqueued on a device's current stream has been done. On the CPU that is at once.
class DeviceEvent {
 public:
  /// Everything enqueued so far on this thread's current stream of `device`.
  void expect(at::Device device);
  [[nodiscard]] bool done() const { return !event_ || event_->query(); }
  /// Asks, and sleeps in between.
  void wait() const;

 private:
  std::optional<c10::Event> event_;
};

/// `source` in host memory, waited for; `source` itself where nothing crosses.
GAZE_FOR_PARTS at::Tensor fetch(const at::Tensor& source, const ops::Route& route, ops::Cargo cargo);

}  // namespace gaze
