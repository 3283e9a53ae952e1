// SPDX-License-Identifier: MIT
// One axis of a grid over the pixels of a picture.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "geometry/placement.hpp"

namespace gaze {

struct Axis {
  double scale, offset;
  int64_t cells, pixels;

  [[nodiscard]] double cell(int64_t pixel) const { return scale * (static_cast<double>(pixel) + 0.5) + offset; }
  [[nodiscard]] double pixel(double cell) const { return (cell - offset) / scale - 0.5; }
  [[nodiscard]] bool seen(int64_t pixel) const {
    return pixel >= 0 && pixel < pixels && cell(pixel) >= 0 && cell(pixel) < static_cast<double>(cells);
  }
  // First seen pixel, and one past the last; equal when none is.
  [[nodiscard]] std::pair<int64_t, int64_t> seen_range() const {
    auto first = static_cast<int64_t>(std::clamp(std::floor(pixel(0)), 0.0, static_cast<double>(pixels)));
    auto last = static_cast<int64_t>(
        std::clamp(std::ceil(pixel(static_cast<double>(cells))), -1.0, static_cast<double>(pixels - 1)));
    while (first < pixels && !seen(first)) ++first;
    while (last >= first && !seen(last)) --last;
    return {first, last + 1};
  }
};

/// Across and down.
inline std::pair<Axis, Axis> axes(const Placement& placement) {
  return {Axis{placement.affine.scale_x, placement.affine.offset_x, placement.cols, placement.width},
          Axis{placement.affine.scale_y, placement.affine.offset_y, placement.rows, placement.height}};
}

}  // namespace gaze
