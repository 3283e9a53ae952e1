// SPDX-License-Identifier: MIT
// A grid over the pixels of a picture.
#pragma once

#include <gaze/render/geometry.hpp>

#include "base/for_parts.hpp"

namespace gaze {

/// Where a grid lies on a picture; `width` and `height` may be those of a scaled copy.
struct Placement {
  int64_t rows = 0, cols = 0;
  ops::CellAffine affine;
  int64_t width = 0, height = 0;

  /// The part of the picture the model saw: pixels [left, right) x [top, bottom).
  struct Seen {
    int64_t left, right, top, bottom;
  };
  [[nodiscard]] GAZE_FOR_PARTS Seen seen() const;
};

/// Places a geometry over a copy of the picture scaled to width x height.
GAZE_FOR_PARTS Placement place_scaled(const Geometry& geometry, int64_t original_width, int64_t original_height,
                                      int64_t width, int64_t height);

}  // namespace gaze
