// SPDX-License-Identifier: MIT
#include "device/frame_pipeline.hpp"

#include <gaze/render/status.hpp>
#include <gaze/render/stop.hpp>

#include <string>
#include <utility>

namespace gaze {

void FramePipeline::add(int64_t height, int64_t width, const Draw& draw, Receive receive) {
  throw_if_stopping();
  while (static_cast<int64_t>(flights_.size()) >= ring_.limits().in_flight) land();
  FrameRing::Slot slot = take(height, width);
  draw(slot.frame());
  slot.submit();
  flights_.push_back({std::move(slot), std::move(receive)});
  // Without a copy to wait for, more than one frame at a time would only cost memory.
  if (!ring_.route().crosses) land();
}

void FramePipeline::finish() {
  while (!flights_.empty()) land();
}

FrameRing::Slot FramePipeline::take(int64_t height, int64_t width) {
  while (true) {
    if (std::optional<FrameRing::Slot> slot = ring_.take(height, width)) return std::move(*slot);
    if (flights_.empty()) break;
    land();
  }
  throw Error("frames: expected memory to bring a frame of " + std::to_string(width) + " x " + std::to_string(height) +
                  " back from " + ring_.route().device.str() + ", got none of the " +
                  std::to_string(ring_.limits().slots) + " slots and " + std::to_string(ring_.limits().bytes) +
                  " bytes: other requests hold them. Sample fewer requests, or ask for maps alone.",
              DropReason::RingFull);
}

void FramePipeline::land() {
  throw_if_stopping();
  const Flight flight = std::move(flights_.front());
  flights_.pop_front();
  flight.receive(flight.slot.wait());
}

}  // namespace gaze
