// SPDX-License-Identifier: MIT
// Where a picture's latents lie in a row of keys, and which of a resampler's maps are the picture's. Knows no tensors.
#pragma once

#include <gaze/render/geometry.hpp>

#include <cstdint>
#include <vector>

namespace gaze {

/// What the sites between the picture and the selected ones gave for one row of the request: a unit is a picture, or a
/// tile that is resampled by itself.
struct LatentUnits {
  int64_t units = 0;    ///< of the row, in order
  int64_t latents = 0;  ///< of each
  int64_t keys = 0;     ///< in the rows of these sites
};

struct LatentLayout {
  Geometry geometry;            ///< of the picture's keys in the rows of these sites; resolved
  std::vector<KeySpan> pieces;  ///< the picture's latents in the selected sites' row, in order
  int64_t first_unit = 0;       ///< of the picture's units
  int64_t units = 1;            ///< tiles and thumbnail, or one

  [[nodiscard]] int64_t first_key() const { return pieces.front().first_key; }
  /// Keys from the first latent to the last.
  [[nodiscard]] int64_t span() const { return pieces.back().first_key + pieces.back().keys - first_key(); }
};

/// @param stated  the picture's keys as the resampler sees them; its spans or first_key, picture and pictures say where
///                the latents are in a row of `keys` keys. Neither: the row holds latents alone
/// @throws gaze::Error (GridMismatch) when the numbers of keys, units or latents are not those of the geometry.
LatentLayout place_latents(Geometry stated, const PictureSizes& sizes, const LatentUnits& between, int64_t keys);

}  // namespace gaze
