// SPDX-License-Identifier: MIT
// From where the keys of each group lie to the windows that attention keeps within. Knows no tensors.
#pragma once

#include <gaze/hooks/probe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include "probe/key_layout.hpp"

namespace gaze {

struct KeyWindows {
  GridSize grid;           ///< cells of the picture
  GridSize window;         ///< cells of a window
  GridSize count;          ///< windows from top to bottom and from left to right
  GridSize shift;          ///< rows and cols that the first window begins at; windows go on at the other side
  bool by_rows = true;     ///< whether the keys of a window are its cells row by row
  double local_share = 0;  ///< of the responding keys
};

/// The windows that nine tenths of the placed keys agree with.
/// @param keys_gk  of every group, group after group
std::optional<KeyWindows> find_windows(const std::vector<ProbedKey>& keys_gk, int64_t groups, GridSize grid,
                                       int64_t width, int64_t height);

}  // namespace gaze
