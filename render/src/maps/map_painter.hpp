// SPDX-License-Identifier: MIT
// One map over one picture.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/style.hpp>

#include "base/for_parts.hpp"
#include "geometry/placement.hpp"

namespace gaze {

struct MapView {
  at::Tensor value_c;   ///< float32 [cells], 0..1: what is coloured
  at::Tensor inside_c;  ///< bool [cells]: what the contour encloses; undefined: no contour
  bool diffuse = false;
};

/// Of a GPU's multiprocessors drawing takes at most these; a model that runs beside it keeps the others.
constexpr int64_t kDrawingSms = 24;

/// A new picture: colours, contour, the border of what the model saw, and "DIFFUSE" where it is.
at::Tensor paint(const at::Tensor& base_hwc, const MapView& map, const Placement& placement, const Style& style);

/// As above into `out_hwc`, uint8 [height, width, 3], contiguous, on the base's device and not overlapping it.
GAZE_FOR_PARTS void paint(const at::Tensor& base_hwc, const MapView& map, const Placement& placement,
                          const Style& style, at::Tensor& out_hwc);

/// Puts "DIFFUSE" into the lower left corner; a picture too small for it stays as it is.
GAZE_FOR_PARTS void stamp_diffuse(at::Tensor& rgb_hwc);

}  // namespace gaze
