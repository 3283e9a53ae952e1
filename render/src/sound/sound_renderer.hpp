// SPDX-License-Identifier: MIT
// The renderer of sounds: a page for the answer and each word, the sheet, and word times for other programs.
#pragma once

#include "media/render_task.hpp"

namespace gaze {

/// @throws gaze::Error as analyse_sound and draw_sound, and DecodeFailed when there is no sound to draw
MapFacts render_map(const SoundMedium& medium, const RenderTask& task, Artifacts& artifacts);

}  // namespace gaze
