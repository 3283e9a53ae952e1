// SPDX-License-Identifier: MIT
// The picture of a record, and where the grid lies on it.
#pragma once

#include <gaze/ops/transfer.hpp>
#include <gaze/render/record.hpp>

#include "codecs/base_picture.hpp"
#include "maps/map_painter.hpp"

namespace gaze {

struct Canvas {
  BasePicture base;  ///< on the record's device when the picture is a tensor there, else on the host
  Placement placement;
};

/// What is wrong with the record itself is said before what is wrong with its picture.
/// @throws gaze::Error (DecodeFailed, GridMismatch; those of analyse)
Canvas make_canvas(const AttentionRecord& record, const ops::Route& route);

}  // namespace gaze
