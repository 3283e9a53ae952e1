// SPDX-License-Identifier: MIT
// The contact sheet: everything about one request on one picture.
#pragma once

#include "canvas.hpp"

namespace gaze {

/// uint8 [height, width, 3] on the CPU.
/// @throws gaze::Error (RenderError) in a build without OpenCV
at::Tensor draw_sheet(const AttentionRecord& record, const Analysis& analysis, const Canvas& canvas);

}  // namespace gaze
