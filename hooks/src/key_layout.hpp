// SPDX-License-Identifier: MIT
// From how much each key changed for each strip of a picture to where it lies and in which order. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace gaze {

/// The strips of one axis and what they changed.
struct StripResponse {
  int64_t pixels = 0;             ///< of the axis
  int64_t strip = 0;              ///< pixels of a strip; the last one may be smaller
  int64_t strips = 0;             ///< how many
  std::vector<double> energy_ks;  ///< [keys x strips]: squared change, relative to the key's square
};

/// Where each key has its centre. Cost: O(keys x strips).
std::vector<ProbedKey> locate(const StripResponse& columns, const StripResponse& rows);

/// As `locate`, where the grid is supposed: every responding key is placed in the row and the column that change it
/// most, however much the others do. For keys behind much mixing, whose places only agree together.
std::vector<ProbedKey> locate_on(const StripResponse& columns, const StripResponse& rows, int64_t grid_rows,
                                 int64_t grid_cols);

/// A layout that the placed keys have.
struct KeyLayout {
  Geometry geometry;       ///< first_key, leading and trailing too
  double local_share = 0;  ///< of the cells' keys: local, and in their place
  bool anchored = true;    ///< whether last_row_end was seen
};

/// How many cells the local keys make from top to bottom and from left to right.
struct GridSize {
  int64_t rows = 0, cols = 0;
};
std::optional<GridSize> find_grid(const std::vector<ProbedKey>& keys, int64_t width, int64_t height);

/// What `find_layout` tries. All takes about a second for thousands of keys that make none.
enum class Layouts {
  Lines,  ///< rows or columns, with or without row ends
  All     ///< windows and tiles too
};

/// The simplest layout of a grid that nine tenths of the placed keys among its cells agree with, and at least half of
/// all cells; or nothing.
/// @param alone  the row holds this picture only: what is no cell is leading or trailing
std::optional<KeyLayout> find_layout(const std::vector<ProbedKey>& keys, GridSize size, int64_t width, int64_t height,
                                     bool alone, Layouts layouts);

/// Of the cells of `geometry` whose key is placed: the share that lies inside its cell, half a pixel allowed. 0 where
/// fewer than half of the cells' keys are placed.
/// `geometry` must be resolved and its keys lie within the row.
double agreement(const std::vector<ProbedKey>& keys, const Geometry& geometry, int64_t width, int64_t height);

}  // namespace gaze
