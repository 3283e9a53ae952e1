// SPDX-License-Identifier: MIT
// From where keys lie to the order they lie in. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include "probe/key_places.hpp"

namespace gaze {

/// Most special keys before or behind the cells.
inline constexpr int64_t kMostSpecial = 4;

/// How the parts of an input lie: frames, or tiles of a picture with or without the whole picture beside them.
struct PartsLayout {
  int64_t frames = 0;                   ///< > 0: a video's
  int64_t rows = 1, cols = 1;           ///< of tiles
  std::optional<bool> thumbnail_first;  ///< a part more is the whole picture, before or after the tiles
};

/// Every way in which the parts of a probed input can lie; one for a single picture.
std::vector<PartsLayout> parts_layouts(const ProbeResult& result);

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
