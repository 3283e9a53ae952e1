// SPDX-License-Identifier: MIT
#include "picture/placed_picture.hpp"

#include <utility>

#include "device/device_event.hpp"
#include "device/frame_ring.hpp"
#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"

namespace gaze {
namespace {

BasePicture as_it_is(at::Tensor rgb_hwc) {
  const PictureSize size{rgb_hwc.size(1), rgb_hwc.size(0)};
  return {std::move(rgb_hwc), size, {}};
}

// A tensor on a third device, of a model that is spread over several, comes by way of the host.
BasePicture decode_elsewhere(const AttentionRecord& record, const Picture& picture) {
  const at::Device device = picture.tensor.device();
  const ops::Route route = ops::route_to(device);
  const SideStream side(FrameRing::of(device)->stream(), record);
  return as_it_is(fetch(decode(picture), route, ops::Cargo::Picture));
}

BasePicture decode_for(const AttentionRecord& record, const Picture& picture, int64_t longest_side_pixels) {
  const at::Tensor& tensor = picture.tensor;
  if (!tensor.defined() || tensor.device() == record.device()) return decode_unchecked(picture, longest_side_pixels);
  return tensor.is_cpu() ? as_it_is(decode(picture)) : decode_elsewhere(record, picture);
}

}  // namespace

PlacedPicture place_picture(const AttentionRecord& record, const MediumMap& map, const PictureMedium& medium,
                            const ops::Route& route, int64_t longest_side_pixels) {
  PlacedPicture placed;
  try {
    placed.base = decode_for(record, medium.picture, longest_side_pixels);
  } catch (const Error&) {
    analyse(record, map, route, nullptr);
    throw;
  }
  const bool is_copy = medium.original.width > 0;
  const int64_t height = is_copy ? medium.original.height : placed.base.whole.height;
  const int64_t width = is_copy ? medium.original.width : placed.base.whole.width;
  const Geometry& geometry = medium.geometry;
  if (geometry.picture_width > 0 && (geometry.picture_width != width || geometry.picture_height != height)) {
    throw Error("geometry: expected the picture of " + std::to_string(geometry.picture_width) + " x " +
                    std::to_string(geometry.picture_height) + " pixels its keys were counted for, got " +
                    std::to_string(width) + " x " + std::to_string(height) + ". Give the original picture.",
                DropReason::GridMismatch);
  }
  placed.placement = place_scaled(geometry, width, height, width, height);
  return placed;
}

}  // namespace gaze
