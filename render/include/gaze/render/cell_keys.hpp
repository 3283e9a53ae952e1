// SPDX-License-Identifier: MIT
// Which keys a cell of the grid shows.
#pragma once

#include <gaze/render/geometry.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// Cells in row-major order, keys as offsets from Geometry::first_cell().
struct CellKeys {
  int64_t span = 0;            ///< keys of the span, those that are no cell included
  int64_t rows = 0, cols = 0;  ///< of the grid that is drawn
  int64_t parts = 1;           ///< keys per cell, whose weights are added: key frames where a video is summed, else 1
  std::vector<int64_t> keys;   ///< [parts x rows x cols]
  /// [key frames x rows x cols] of a video, whichever frame is shown; else empty.
  std::vector<int64_t> video_keys;

  int64_t thumbnail_rows = 0, thumbnail_cols = 0;  ///< 0 without a thumbnail
  std::vector<int64_t> thumbnail_keys;             ///< [thumbnail_rows x thumbnail_cols]
  /// Share of a thumbnail's row (column) that lies on a row (column) of the grid; the shares of one thumbnail row
  /// (column) add up to 1. Cell (r, c) gets the sum of row_shares[r, i] x col_shares[c, j] x weight of (i, j).
  std::vector<double> row_shares;  ///< [rows x thumbnail_rows]
  std::vector<double> col_shares;  ///< [cols x thumbnail_cols]

  /// Keys that count: cells and thumbnail, of the frames that are shown.
  [[nodiscard]] int64_t used() const noexcept { return static_cast<int64_t>(keys.size() + thumbnail_keys.size()); }
  /// Whether the map over the keys already is the map over the cells.
  [[nodiscard]] GAZE_API bool plain() const noexcept;
};

/// The pure function from cells to keys.
/// @throws gaze::Error (GridMismatch) as `check`.
GAZE_API CellKeys cell_keys(const Geometry& geometry);

}  // namespace gaze
