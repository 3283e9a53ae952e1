// SPDX-License-Identifier: MIT
// Renders a map over a text: which of its words and sources the answer rests on.
#pragma once

#include "media/render_task.hpp"

namespace gaze {

MapFacts render_map(const TextMedium& medium, const RenderTask& task, Artifacts& artifacts);

}  // namespace gaze
