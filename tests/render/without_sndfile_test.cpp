// SPDX-License-Identifier: MIT
#include <gaze/render/audio_file.hpp>

#include "records.hpp"

CATCH_TEST_CASE("without libsndfile: audio files are refused with what to rebuild") {
  GAZE_REQUIRE_REFUSED(gaze::read_audio("a.wav"), gaze::DropReason::DecodeFailed,
                       "this build of Gaze has no libsndfile; rebuild with -DGAZE_WITH_SNDFILE=ON");
}
