// SPDX-License-Identifier: MIT
// The whole frame path of one map in one pass over the picture.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/resample.hpp>

#include <optional>

namespace gaze::ops {

struct OverlayOptions {
  Interpolation interpolation = Interpolation::Bilinear;
  Colormap colormap = Colormap::Turbo;
  BlendOptions blend = {};
  /// on either side of an edge of `inside_yx`, white inside and dark outside, 1..64; the picture's border is no edge
  int64_t contour_pixels = 2;
  int64_t border_pixels = 0;  ///< width of the dashed border around what the model saw, where that is not all; 0: none
  /// of a GPU's multiprocessors it takes at most, so that a model that runs beside it keeps the others; 0: all
  int64_t most_sms = 0;
};

/// Colour and opacity of every level: what `overlay_out` draws with, for whoever draws elsewhere.
/// @return uint8 [512, 4] RGBA on the CPU, from 0 to 1
GAZE_API at::Tensor overlay_levels(Colormap colormap, const BlendOptions& options);

/// The map at every pixel (`Interpolation`), coloured and blended, with contour and border: one read of the picture,
/// one write of the frame.
///
/// Colours and opacity come from a table of 512 levels of the value, so a channel may differ by 3 from the separate
/// ops. Pixels outside the grid, and those whose value is at most blend.alpha_start, keep their base.
/// @param rgb_hwc    uint8 [height, width, 3], contiguous
/// @param value_yx   float32 [rows, cols], 0..1, contiguous; clamped; NaN counts as 0
/// @param inside_yx  bool [rows, cols], contiguous: what the contour encloses (`top_mass`); none: no contour
/// @param out_hwc    uint8 [height, width, 3], contiguous, not overlapping rgb_hwc
/// All on one device, asynchronous on the current stream; allocates nothing. CPU and CUDA give the same bytes.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void overlay_out(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                          const std::optional<at::Tensor>& inside_yx, const CellAffine& place,
                          const OverlayOptions& options, at::Tensor& out_hwc);

}  // namespace gaze::ops
