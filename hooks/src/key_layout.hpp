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

/// A layout that the local keys have.
struct KeyLayout {
  Geometry geometry;       ///< first_key is that of the first cell's span
  double local_share = 0;  ///< of the cells' keys: local, and in their place
  bool anchored = true;    ///< whether last_row_end was seen
};

/// The simplest layout that at least nine tenths of the cells agree with, or nothing.
/// @param alone  the row holds this picture only: what is no cell is leading or trailing
std::optional<KeyLayout> find_layout(const std::vector<ProbedKey>& keys, int64_t width, int64_t height, bool alone);

/// Share of the cells of `geometry` whose key is local with its centre inside the cell, half a pixel allowed.
/// `geometry` must be resolved and its keys lie within the row.
double agreement(const std::vector<ProbedKey>& keys, const Geometry& geometry, int64_t width, int64_t height);

}  // namespace gaze
