// SPDX-License-Identifier: MIT
// Bytes that call themselves a sound: where their samples lie, and what their header would say.
#include "sound/audio_header.hpp"

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto extent = gaze::read_sound_extent(bytes);
  if (!extent) return 0;
  GAZE_HOLDS(gaze::states_extent(bytes));
  GAZE_HOLDS(extent->following_bytes <= size);
  GAZE_HOLDS(extent->block_bytes >= 0);
  GAZE_HOLDS(extent->known == extent->patches.empty());
  std::string mended(bytes);
  for (const auto& patch : extent->patches) {
    GAZE_HOLDS(patch.at + patch.bytes.size() <= size);
    mended.replace(patch.at, patch.bytes.size(), patch.bytes);
  }
  if (extent->known) return 0;
  // What was mended states what follows, and needs nothing more.
  const auto again = gaze::read_sound_extent(mended);
  GAZE_HOLDS(again && (again->following_bytes == 0 || again->known) && !again->cut());
  return 0;
}
