// SPDX-License-Identifier: MIT
// The frames of one request on their way to the host.
#pragma once

#include <deque>
#include <functional>

#include "base/for_parts.hpp"
#include "device/frame_ring.hpp"

namespace gaze {

/// Draws frames on the device and hands them out on the host in the same order, an earlier one while later ones are
/// drawn and copied.
class FramePipeline {
 public:
  using Draw = std::function<void(at::Tensor& rgb_hwc)>;           ///< on the device, on its current stream
  using Receive = std::function<void(const at::Tensor& rgb_hwc)>;  ///< on the host; valid during the call

  explicit FramePipeline(FrameRing& ring) : ring_(ring) {}
  /// May hand out earlier frames.
  /// @throws gaze::Error (RingFull) when other requests hold all memory; what `draw` and `receive` throw
  GAZE_FOR_PARTS void add(int64_t height, int64_t width, const Draw& draw, Receive receive);
  /// Hands out the rest.
  GAZE_FOR_PARTS void finish();
  [[nodiscard]] const ops::Route& route() const noexcept { return ring_.route(); }

 private:
  struct Flight {
    FrameRing::Slot slot;
    Receive receive;
  };
  FrameRing::Slot take(int64_t height, int64_t width);
  void land();
  FrameRing& ring_;
  std::deque<Flight> flights_;
};

}  // namespace gaze
