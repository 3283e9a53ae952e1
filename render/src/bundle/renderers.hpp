// SPDX-License-Identifier: MIT
// All that a record is made into, whatever its media.
#pragma once

#include <gaze/render/artifacts.hpp>

#include "device/frame_ring.hpp"
#include "page/page_memory.hpp"

namespace gaze {

/// As `render`, with a ring and memory for pages that are kept.
void render_record(const AttentionRecord& record, const RenderOptions& options, FrameRing& ring, PageMemory& pages,
                   Artifacts& artifacts);

/// request.json alone, which says why there is nothing else.
void render_refusal(const AttentionRecord& record, DropReason reason, const std::string& message, FrameRing& ring,
                    Artifacts& artifacts);

/// Runs `work`; what it throws comes out as gaze::Error.
template <typename Work>
auto with_reason(Work work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (...) {
    char text[2048];
    text_of_current_exception(text, sizeof text);
    throw Error(std::string("rendering: ") + text, reason_of_current_exception(DropReason::RenderError));
  }
}

}  // namespace gaze
