// SPDX-License-Identifier: MIT
// Glyphs as pixels.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "page/shaping_text.hpp"

namespace gaze::text {

/// Pixels of one glyph; a pen stands at its origin.
struct Picture {
  int left = 0, top = 0;  ///< of the first pixel: right of the pen, above the baseline
  int width = 0, height = 0;
  bool coloured = false;
  std::vector<uint8_t> pixels;  ///< how much ink lies on each; coloured: red, green, blue, each times alpha, and alpha
};

/// Drawn once: a page repeats its letters. Not thread-safe.
class Glyphs {
 public:
  static constexpr int kPhases = 4;  ///< of the pen between two pixels

  /// @param em_64th  1/64 pixel
  /// @param bold_64th  by how much stems are widened
  const Picture& get(const OpenFont& font, uint32_t glyph, int64_t em_64th, int64_t bold_64th, int phase);

 private:
  using Key = std::array<int64_t, 5>;
  std::map<Key, Picture> known_;
  size_t bytes_ = 0;
};

void draw_shaped(Glyphs& glyphs, const Canvas& canvas, const Shaped& shaped, int left, int baseline, const Pen& pen);

}  // namespace gaze::text
