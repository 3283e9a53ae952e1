// SPDX-License-Identifier: MIT
// From a grid of cells to pixels.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

/// What a pixel shows of the cells around it. Bilinear interpolates between cell centres and holds the outermost centre
/// towards the border (half-pixel centres, as cv::resize INTER_LINEAR); Exact takes the cell the pixel's centre lies
/// in.
enum class Interpolation { Bilinear, Exact };

/// Where a pixel lies on the grid, in cells: column = scale_x * (x + 0.5) + offset_x, row likewise.
/// Cell i covers [i, i + 1). Pixels outside [0, cols) x [0, rows) were not seen by the model.
struct CellAffine {
  double scale_x = 1, offset_x = 0;
  double scale_y = 1, offset_y = 0;
};

}  // namespace gaze::ops
