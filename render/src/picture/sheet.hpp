// SPDX-License-Identifier: MIT
// The contact sheet: everything about one request on one picture.
#pragma once

#include "device/frame_pipeline.hpp"
#include "maps/map_analysis.hpp"
#include "page/page_memory.hpp"
#include "picture/placed_picture.hpp"

namespace gaze {

/// uint8 [height, width, 3] on the CPU. Its pictures are drawn on the device in their small size, after and beside the
/// frames that are on their way, all of which have been handed out when this returns.
/// @throws gaze::Error (RenderError) without the OpenCV part; what FramePipeline::add throws
at::Tensor draw_sheet(const AttentionRecord& record, const MediumMap& map, const Analysis& analysis,
                      const PlacedPicture& placed, FramePipeline& frames, PageMemory& pages);

}  // namespace gaze
