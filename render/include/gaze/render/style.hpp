// SPDX-License-Identifier: MIT
// How overlays look. Every field is written to the sidecar.
#pragma once

#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/normalise.hpp>
#include <gaze/ops/resample.hpp>

namespace gaze {

/// What lies below the heat of a picture. On grey no colour of the picture is taken for attention.
enum class Ground { Grey, Colour };

struct Style {
  Ground ground = Ground::Grey;
  ops::Colormap colormap = ops::Colormap::Turbo;
  ops::Interpolation interpolation = ops::Interpolation::Bilinear;
  ops::NormaliseOptions normalise;
  ops::BlendOptions blend;
  bool contour = true;         ///< outline of the cells that hold half of the mass
  double contour_share = 0.5;  ///< of the map's sum, (0, 1]
  /// Sounds: a word's start and end move to where the sound itself rises and falls nearby. Then they are no longer
  /// attention's alone, which request.json says.
  bool align_to_energy = false;
};

}  // namespace gaze
