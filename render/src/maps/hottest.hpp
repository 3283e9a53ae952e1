// SPDX-License-Identifier: MIT
// Where a drawn map is highest.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/transfer.hpp>

#include "geometry/placement.hpp"

namespace gaze {

/// The pixel with the highest resampled value of every map, found on the maps' device.
/// @param shown_lc  float32 [maps, cells], finite
/// @return float64 [maps]: y * width + x; -1 where nothing seen is above 0. Asynchronous.
at::Tensor hottest(const at::Tensor& shown_lc, const Placement& placement, ops::Interpolation interpolation,
                   const ops::Route& route);

}  // namespace gaze
