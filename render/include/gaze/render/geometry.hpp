// SPDX-License-Identifier: MIT
// The spatial mapping engine: from the index of a key to the pixels of the original picture.
#pragma once

#include <gaze/ops/resample.hpp>
#include <gaze/render/status.hpp>

#include <cstdint>

namespace gaze {

/// How the model's input was made from the original picture.
enum class Fit {
  Resize,      ///< the whole picture stretched to input_width x input_height
  CentreCrop,  ///< scaled so that the shorter side fits `resize_shorter`, then the centre input_width x input_height
               ///< kept
  Letterbox    ///< scaled to fit inside input_width x input_height keeping its proportions, borders padded evenly
};

/// Keys of one picture: `leading` special keys, then rows x cols cells in row-major order, then `trailing` special
/// keys. Nothing is guessed: rows and cols are never taken from sqrt(keys).
struct GAZE_API Geometry {
  int64_t rows = 0;       ///< cells from top to bottom, >= 1
  int64_t cols = 0;       ///< cells from left to right, >= 1
  int64_t leading = 0;    ///< special keys before the cells (class token, registers)
  int64_t trailing = 0;   ///< special keys after the cells
  int64_t first_key = 0;  ///< where the medium's keys begin in the row of all keys
  Fit fit = Fit::Resize;
  int64_t input_width = 0;  ///< pixels of the model's input, > 0 unless fit is Resize
  int64_t input_height = 0;
  int64_t resize_shorter =
      0;  ///< CentreCrop: pixels of the shorter side before cropping; 0 = the larger of the input's sides that fills it

  [[nodiscard]] int64_t cells() const noexcept { return rows * cols; }
  /// Index of cell 0 in the row of all keys.
  [[nodiscard]] int64_t first_cell() const noexcept { return first_key + leading; }
};

/// Throws when the geometry is impossible in itself (rows < 1, negative counts, a fit without input size).
/// @throws gaze::Error (GridMismatch) naming the field, expected, got and the fix.
GAZE_API void check(const Geometry& geometry);

/// Throws unless a row of `keys` keys holds exactly (alone = true) or at least this geometry's keys.
/// @throws gaze::Error (GridMismatch): "geometry: expected 61 keys (1 leading + 6 x 10 cells), got 60 ...".
GAZE_API void check_keys(const Geometry& geometry, int64_t keys, bool alone);

/// Where the pixels of a picture of width x height lie on the grid.
/// @throws gaze::Error (GridMismatch) when the picture is empty or the fit's sizes are missing.
GAZE_API ops::CellAffine place(const Geometry& geometry, int64_t width, int64_t height);

/// Cell (row * cols + col) under a pixel of the original picture, or -1 where the model saw nothing.
GAZE_API int64_t cell_at(const Geometry& geometry, int64_t width, int64_t height, double x, double y);

}  // namespace gaze
