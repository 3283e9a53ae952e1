// SPDX-License-Identifier: MIT
// What is measured of one head's maps, and which heads that makes the best. Knows no TorchScript.
#pragma once

#include <gaze/hooks/heads.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace gaze {

/// A map over the cells of a grid, row by row.
struct CellMap {
  int64_t rows = 0, cols = 0;
  std::vector<double> weights;
};

/// Entropy of the masses of the regions above the map's mean, in nats; cells touch at sides and corners. 0 of a map
/// that is the same everywhere.
double spatial_entropy(const CellMap& map);

/// Entropy of the map over log(cells), 0..1; 0 of an empty map.
double cell_entropy(const CellMap& map);

/// Mean total variation distance of the maps, each of sum 1, to their mean, over its largest value: 0..1. Empty maps
/// are left out; 0 where fewer than two are left.
/// Precondition: maps of one size.
double change_of(const std::vector<CellMap>& maps);

/// Of one head in one sample: means over its rows.
struct SampleFigures {
  double share = 0, spatial_entropy = 0, entropy = 0;
};

/// Figures [sample][head] of heads whose share, spatial entropy, entropy and change are filled: discards, lets the
/// samples vote, chooses and sorts; fills the thresholds.
void choose_heads(HeadsResult& result, const std::vector<std::vector<SampleFigures>>& figures, int64_t top);

}  // namespace gaze
