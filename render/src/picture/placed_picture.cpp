// SPDX-License-Identifier: MIT
#include "picture/placed_picture.hpp"

#include "device/device_event.hpp"
#include "device/frame_ring.hpp"
#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"

namespace gaze {
namespace {

// A tensor on a third device, of a model that is spread over several, comes by way of the host.
BasePicture decode_elsewhere(const AttentionRecord& record) {
  const at::Device device = record.picture.tensor.device();
  const ops::Route route = ops::route_to(device);
  const SideStream side(FrameRing::of(device)->stream(), record);
  return {fetch(decode(record.picture), route, ops::Cargo::Picture), {}};
}

BasePicture decode_for(const AttentionRecord& record) {
  const at::Tensor& tensor = record.picture.tensor;
  if (!tensor.defined() || tensor.device() == record.map_tc.device()) return decode_unchecked(record.picture);
  return tensor.is_cpu() ? BasePicture{decode(record.picture), {}} : decode_elsewhere(record);
}

}  // namespace

PlacedPicture place_picture(const AttentionRecord& record, const ops::Route& route) {
  PlacedPicture placed;
  try {
    placed.base = decode_for(record);
  } catch (const Error&) {
    analyse(record, route, nullptr);
    throw;
  }
  const int64_t height = placed.base.rgb_hwc.size(0);
  const int64_t width = placed.base.rgb_hwc.size(1);
  const Geometry& geometry = record.geometry;
  if (geometry.picture_width > 0 && (geometry.picture_width != width || geometry.picture_height != height)) {
    throw Error("geometry: expected the picture of " + std::to_string(geometry.picture_width) + " x " +
                    std::to_string(geometry.picture_height) + " pixels its keys were counted for, got " +
                    std::to_string(width) + " x " + std::to_string(height) + ". Give the original picture.",
                DropReason::GridMismatch);
  }
  placed.placement = place_scaled(record.geometry, width, height, width, height);
  return placed;
}

}  // namespace gaze
