// SPDX-License-Identifier: MIT
// Whatever the map and the sound hold, every word gets a span within the keys.
#include "sound/alignment.hpp"

#include <cmath>
#include <vector>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  const int64_t tokens = bytes.between(0, 24);
  const int64_t keys = bytes.between(0, 200);
  const bool any_float = bytes.take<uint8_t>() % 2 == 0;  // not finite and negative ones too
  const int64_t reach = bytes.between(0, 30);
  const auto number = [&] {
    return any_float ? bytes.take<float>() : static_cast<float>(bytes.take<uint8_t>()) / 255.0F;
  };
  std::vector<gaze::Word> words;
  for (int64_t token = 0; token < tokens;) {
    const int64_t count = std::min<int64_t>(bytes.between(1, 3), tokens - token);
    if (bytes.take<uint8_t>() % 4 != 0) words.push_back({"w", token, count});
    token += count;
  }
  std::vector<float> map_tk(static_cast<size_t>(tokens * keys));
  for (float& value : map_tk) value = number();
  std::vector<float> level_k(static_cast<size_t>(keys));
  for (float& value : level_k) value = number();

  std::vector<gaze::WordSpan> spans = gaze::align_words(map_tk.data(), tokens, keys, words);
  GAZE_HOLDS(spans.size() == words.size());
  const auto check = [&] {
    for (const gaze::WordSpan& span : spans) {
      GAZE_HOLDS(span.first >= 0 && span.end > span.first);
      GAZE_HOLDS(keys == 0 || span.end <= keys);
    }
  };
  check();
  for (size_t i = 0; i < spans.size(); ++i) {
    GAZE_HOLDS(spans[i].share_within >= 0 && spans[i].share_within <= 1.0001);
    if (i == 0 || keys == 0) continue;
    GAZE_HOLDS(spans[i].first >= spans[i - 1].first);
    GAZE_HOLDS(static_cast<int64_t>(words.size()) > keys || spans[i].first >= spans[i - 1].end);
  }
  GAZE_HOLDS(std::isfinite(gaze::silence_level(level_k)));
  if (keys > 0) {
    gaze::align_to_energy(spans, level_k, reach);
    check();
  }
  return 0;
}
