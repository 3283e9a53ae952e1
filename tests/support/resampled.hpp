// SPDX-License-Identifier: MIT
// What every pixel of a picture shows of a grid, in float64.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <gaze/ops/resample.hpp>

#include <algorithm>
#include <cmath>

namespace gaze::test {

/// @return float64 [height, width] on the CPU; 0 outside the grid
inline at::Tensor resampled(const at::Tensor& map_yx, const ops::CellAffine& place, int64_t height, int64_t width,
                            ops::Interpolation interpolation) {
  const at::Tensor cells = map_yx.to(at::kCPU).to(at::kDouble).contiguous();
  const int64_t rows = cells.size(0), cols = cells.size(1);
  const auto cell = [&](int64_t row, int64_t col) { return cells.const_data_ptr<double>()[row * cols + col]; };
  at::Tensor out = at::empty({height, width}, at::kDouble);
  double* pixel = out.data_ptr<double>();
  for (int64_t y = 0; y < height; ++y) {
    const double row = place.scale_y * (static_cast<double>(y) + 0.5) + place.offset_y;
    for (int64_t x = 0; x < width; ++x, ++pixel) {
      const double col = place.scale_x * (static_cast<double>(x) + 0.5) + place.offset_x;
      *pixel = 0;
      if (!(row >= 0 && row < static_cast<double>(rows) && col >= 0 && col < static_cast<double>(cols))) continue;
      if (interpolation == ops::Interpolation::Exact) {
        *pixel = cell(static_cast<int64_t>(row), static_cast<int64_t>(col));
        continue;
      }
      const double r = std::clamp(row - 0.5, 0.0, static_cast<double>(rows - 1));
      const double c = std::clamp(col - 0.5, 0.0, static_cast<double>(cols - 1));
      const int64_t top = static_cast<int64_t>(r), bottom = std::min(top + 1, rows - 1);
      const int64_t left = static_cast<int64_t>(c), right = std::min(left + 1, cols - 1);
      const double share_x = c - static_cast<double>(left), share_y = r - static_cast<double>(top);
      *pixel = std::lerp(std::lerp(cell(top, left), cell(top, right), share_x),
                         std::lerp(cell(bottom, left), cell(bottom, right), share_x), share_y);
    }
  }
  return out;
}

}  // namespace gaze::test
