// SPDX-License-Identifier: MIT
#include "sheet.hpp"

namespace gaze {

at::Tensor draw_sheet(const AttentionRecord& /*record*/, const Analysis& /*analysis*/, const Canvas& /*canvas*/,
                      Frames& /*frames*/, PageMemory& /*pages*/) {
  throw Error(
      "contact sheet: this build of Gaze has no OpenCV; rebuild with -DGAZE_WITH_OPENCV=ON, or ask for maps alone.",
      DropReason::RenderError);
}

}  // namespace gaze
