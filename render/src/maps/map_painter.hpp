// SPDX-License-Identifier: MIT
// One map over one picture.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/geometry.hpp>
#include <gaze/render/style.hpp>

#include "base/for_parts.hpp"

namespace gaze {

struct Layer {
  at::Tensor value_c;   ///< float32 [cells], 0..1: what is coloured
  at::Tensor inside_c;  ///< bool [cells]: what the contour encloses; undefined: no contour
  bool diffuse = false;
};

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

/// A new picture: colours, contour, the border of what the model saw, and "DIFFUSE" where it is.
at::Tensor paint(const at::Tensor& base_hwc, const Layer& layer, const Placement& placement, const Style& style);

/// As above into `out_hwc`, uint8 [height, width, 3], contiguous, on the base's device and not overlapping it.
GAZE_FOR_PARTS void paint(const at::Tensor& base_hwc, const Layer& layer, const Placement& placement,
                          const Style& style, at::Tensor& out_hwc);

/// Puts "DIFFUSE" into the lower left corner; a picture too small for it stays as it is.
GAZE_FOR_PARTS void stamp_diffuse(at::Tensor& rgb_hwc);

}  // namespace gaze
