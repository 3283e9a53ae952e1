// SPDX-License-Identifier: MIT
// From a map over a span of keys to a map over the cells of the grid.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>

namespace gaze {

struct CellMaps {
  at::Tensor map_tc;         ///< float32 [tokens, cells]; a cell has the sum of its keys' weights
  at::Tensor mass_t;         ///< float32 [tokens]: share of attention on the keys that are shown
  at::Tensor frame_mass_tf;  ///< float32 [tokens, key frames]: on each of a video's; undefined otherwise
  double keys_per_cell =
      1;  ///< what uniform attention gives a cell, in keys of the captured row: keys that are shown / cells
  bool mass_is_exact = true;  ///< of the keys shown and of every frame; else the span's was divided as the map is
};

/// Enqueued on the map's device. A span that holds one key per cell, in the grid's order, comes back as it is;
/// otherwise at most 8 bytes a key and 4 x (rows x thumbnail rows + cols x thumbnail cols) go up, as Cargo::Table.
/// @param map     checked
/// @param reduce  what made it
CellMaps keys_to_cells(const MediumMap& map, const ops::ReduceOptions& reduce, const ops::Route& route);

}  // namespace gaze
