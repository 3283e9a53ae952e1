// SPDX-License-Identifier: MIT
// The steps of compose(), for writers that keep one frame at a time.
#pragma once

#include <gaze/render/overlay.hpp>

#include "analysis.hpp"
#include "paint.hpp"

namespace gaze {

struct Canvas {
  at::Tensor base_hwc;  ///< uint8 [height, width, 3] on the record's device
  Placement placement;
};

/// @throws gaze::Error (DecodeFailed, GridMismatch)
Canvas make_canvas(const AttentionRecord& record);

Layer word_layer(const Analysis& analysis, size_t word);
Layer summary_layer(const Analysis& analysis);

/// All of an overlay but its picture.
Overlay measure(const Finding& finding, const Layer& layer, const Placement& placement, const Style& style);

}  // namespace gaze
