// SPDX-License-Identifier: MIT
// The bundle of a record that is a sound.
#pragma once

#include "bundle/bundle_files.hpp"
#include "device/frame_ring.hpp"
#include "page/page_memory.hpp"

namespace gaze {

/// Fills everything but request.json: pages or maps, and words.json with its likes.
/// @throws gaze::Error as analyse_sound and draw_sound, and DecodeFailed when there is no sound to draw
void write_sound(const AttentionRecord& record, const BundleOptions& options, FrameRing& ring, PageMemory& pages,
                 BundleFiles& parts);

}  // namespace gaze
