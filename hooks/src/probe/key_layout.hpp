// SPDX-License-Identifier: MIT
// From how much each key changed for each strip of a picture to where it lies and in which order. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace gaze {

/// Most special keys before or behind the cells.
inline constexpr int64_t kMostSpecial = 4;

/// The strips of one axis and what they changed.
struct StripResponse {
  int64_t pixels = 0;             ///< of the axis
  int64_t strip = 0;              ///< pixels of a strip; the last one may be smaller
  int64_t strips = 0;             ///< how many; 0: the input has no such axis
  std::vector<double> energy_ks;  ///< [keys x strips]: squared change, relative to the key's square
};

/// What the strips of every axis changed at one site.
struct SiteResponse {
  StripResponse columns, rows, parts;
};

/// How the parts of an input lie: frames, or tiles of a picture with or without the whole picture beside them.
struct PartsLayout {
  int64_t frames = 0;                   ///< > 0: a video's
  int64_t rows = 1, cols = 1;           ///< of tiles
  std::optional<bool> thumbnail_first;  ///< a part more is the whole picture, before or after the tiles
};

/// Every way in which the parts of a probed input can lie; one for a single picture.
std::vector<PartsLayout> parts_layouts(const ProbeResult& result);

/// Cells from top to bottom and from left to right.
struct GridSize {
  int64_t rows = 0, cols = 0;
};

/// Where each key has its centre. Cost: O(keys x strips).
std::vector<ProbedKey> locate(const SiteResponse& response);

/// As `locate`, where the grid is supposed: every responding key is placed in the row and the column that change it
/// most, however much the others do. For keys behind much mixing, whose places only agree together.
std::vector<ProbedKey> locate_on(const SiteResponse& response, int64_t grid_rows, int64_t grid_cols);

/// As `locate_on`, by rank: the keys `first` to `last`, as many as the grid has cells, are shared out among its rows
/// and columns in the order of where they weigh most. For keys that lie apart, but drift towards the middle of the
/// picture. Empty where the outermost do not lie on either side of its middle.
std::vector<ProbedKey> locate_ranked(const SiteResponse& response, GridSize grid, int64_t first, int64_t last);

/// A layout that the placed keys have.
struct KeyLayout {
  Geometry geometry;       ///< first_key, leading and trailing too
  double local_share = 0;  ///< of the cells' keys: local, and in their place
  bool anchored = true;    ///< whether last_row_end was seen
  bool arranged = true;    ///< whether the keys say how the tiles lie
  bool ranked = false;     ///< whether the places are those of `locate_ranked`
};

/// How many cells the local keys make from top to bottom and from left to right, in each tile or frame.
std::optional<GridSize> find_grid(const std::vector<ProbedKey>& keys, int64_t width, int64_t height);

/// How many cells of equal size centres make on an axis, each in the middle of one; 0: none do.
int64_t count_cells(const std::vector<double>& at, int64_t pixels);

/// What `find_layout` tries. All takes about a second for thousands of keys that make none.
enum class Layouts {
  Lines,  ///< rows or columns, with or without row ends
  All     ///< windows and tiles too
};

/// The simplest layout of a grid that nine tenths of the placed keys among its cells agree with, and at least half of
/// all cells; or nothing.
/// @param alone  the row holds this picture only: what is no cell is leading or trailing
std::optional<KeyLayout> find_layout(const std::vector<ProbedKey>& keys, GridSize size, const ProbeResult& result,
                                     bool alone, Layouts layouts);

/// Of the cells of `geometry` whose key is placed: the share that lies inside its cell, half a pixel allowed. 0 where
/// fewer than half of the cells' keys are placed. Of tiles: in the arrangement that most agree with.
/// `geometry` must be resolved and its keys lie within the row.
double agreement(const std::vector<ProbedKey>& keys, const Geometry& geometry, const ProbeResult& result);

}  // namespace gaze
