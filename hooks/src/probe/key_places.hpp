// SPDX-License-Identifier: MIT
// From how much each key changed for each strip of a picture to where it lies. Knows no tensors, and no TorchScript.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

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

}  // namespace gaze
