// SPDX-License-Identifier: MIT
#include <gaze/render/audio_file.hpp>

#include "base/files.hpp"
#include "sound/sndfile_part.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 30;

const SndfilePart& sndfile_part(const std::string& what) {
  static const auto* const part =  // leaked: used until the last thread ends
      new ops::Part<SndfilePart>(ops::open_part<SndfilePart>(reinterpret_cast<const void*>(&sndfile_part)));
  if (part->table == nullptr) {
    throw Error(what + ": expected Gaze's libsndfile part, got: " + part->problem +
                    ". Install libsndfile and a Gaze built with -DGAZE_WITH_SNDFILE=ON, or give the sound as a tensor.",
                DropReason::DecodeFailed);
  }
  return *part->table;
}

}  // namespace

Audio read_audio(const std::string& path) {
  const std::string what = "audio '" + path + "'";
  const std::string bytes = files::read(path, "audio", kMaxFileBytes);
  if (bytes.empty()) {
    throw Error(what + ": expected a WAV, FLAC, OGG or MP3 file, got 0 bytes.", DropReason::DecodeFailed);
  }
  return sndfile_part(what).decode_audio(bytes, what);
}

}  // namespace gaze
