// SPDX-License-Identifier: MIT
#include <gaze/render/audio_file.hpp>

namespace gaze {

Audio read_audio(const std::string& path) {
  throw Error("audio '" + path + "': this build of Gaze has no libsndfile; rebuild with -DGAZE_WITH_SNDFILE=ON.",
              DropReason::DecodeFailed);
}

}  // namespace gaze
