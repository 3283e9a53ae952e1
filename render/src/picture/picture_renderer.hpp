// SPDX-License-Identifier: MIT
// The renderer of pictures: an overlay for the answer and each word, and the contact sheet.
#pragma once

#include "media/render_task.hpp"

namespace gaze {

/// @throws gaze::Error as place_picture, analyse, draw_sheet and FramePipeline::add
MapFacts render_map(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts);

}  // namespace gaze
