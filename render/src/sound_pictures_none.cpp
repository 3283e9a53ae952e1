// SPDX-License-Identifier: MIT
#include "sound_pictures.hpp"

namespace gaze {

void draw_sound(const AttentionRecord& /*record*/, const HeardAnalysis& /*heard*/, const SoundPictures& /*names*/,
                Frames& /*frames*/, PageMemory& /*pages*/, const SoundPageReceiver& /*receive*/) {
  throw Error(
      "plots of a sound: this build of Gaze has no OpenCV; rebuild with -DGAZE_WITH_OPENCV=ON, or ask for maps "
      "alone.",
      DropReason::RenderError);
}

}  // namespace gaze
