// SPDX-License-Identifier: MIT
#include "geometry/placement.hpp"

#include "geometry/axis.hpp"

namespace gaze {

Placement::Seen Placement::seen() const {
  const auto [x, y] = axes(*this);
  const auto [left, right] = x.seen_range();
  const auto [top, bottom] = y.seen_range();
  return {left, right, top, bottom};
}

Placement place_scaled(const Geometry& geometry, int64_t original_width, int64_t original_height, int64_t width,
                       int64_t height) {
  ops::CellAffine affine = place(geometry, original_width, original_height);
  affine.scale_x *= static_cast<double>(original_width) / static_cast<double>(width);
  affine.scale_y *= static_cast<double>(original_height) / static_cast<double>(height);
  return {geometry.grid_rows(), geometry.grid_cols(), affine, width, height};
}

}  // namespace gaze
