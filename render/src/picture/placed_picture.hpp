// SPDX-License-Identifier: MIT
// The picture of a map, and where the grid lies on it.
#pragma once

#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>

#include "codecs/base_picture.hpp"
#include "geometry/placement.hpp"
#include "maps/map_analysis.hpp"

namespace gaze {

struct PlacedPicture {
  BasePicture base;  ///< on the map's device when the picture is a tensor there, else on the host
  Placement placement;

  [[nodiscard]] Underlay underlay() const { return {placement, base.range}; }
};

/// @param longest_side_pixels  as decode_unchecked
/// What is wrong with the map itself is said before what is wrong with its picture.
/// @throws gaze::Error (DecodeFailed, GridMismatch; those of analyse)
PlacedPicture place_picture(const AttentionRecord& record, const MediumMap& map, const PictureMedium& medium,
                            const ops::Route& route, int64_t longest_side_pixels);

}  // namespace gaze
