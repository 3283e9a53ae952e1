// SPDX-License-Identifier: MIT
#include <gaze/render/audio_file.hpp>

#include "records.hpp"

CATCH_TEST_CASE("without libsndfile: audio files are refused with what to rebuild") {
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "a.wav", "x");
  GAZE_REQUIRE_REFUSED(gaze::read_audio(dir / "a.wav"), gaze::DropReason::DecodeFailed, "-DGAZE_WITH_SNDFILE=ON");
}
