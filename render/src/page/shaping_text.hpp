// SPDX-License-Identifier: MIT
// Which glyphs a line of text is made of, and where they stand.
#pragma once

#include <string_view>
#include <vector>

#include "page/catalogue_text.hpp"
#include "page/text_part.hpp"

namespace gaze::text {

/// Lengths in 1/64 pixel; up is positive.
struct PlacedGlyph {
  uint32_t glyph;              ///< in its font
  size_t character;            ///< the first one it stands for, in the order of the text
  int64_t advance, right, up;  ///< of the pen behind it; of the glyph from the pen
};

/// Glyphs of one font and direction.
struct Run {
  const OpenFont* font;             ///< null: no font has these characters: boxes and blanks
  std::vector<PlacedGlyph> glyphs;  ///< from left to right
};

/// A line that was laid out.
struct Shaped {
  std::vector<Run> runs;        ///< from left to right
  std::vector<uint32_t> codes;  ///< the characters, in the order of the text
  std::vector<size_t> bytes;    ///< of each
};

/// Whether a font, or all of them, lack what it stands for.
bool is_box(const PlacedGlyph& glyph);

/// Height of a square that letters stand in, of one whose capitals are `size` high; 1/64 pixel.
int64_t em_64th(double size);

/// @throws std::bad_alloc
Shaped shape(Catalogue& fonts, std::string_view line, double size);

std::vector<Cluster> clusters_of(const Shaped& shaped);
int64_t advance_of(const Shaped& shaped);

/// The different characters that no font has, rising.
std::vector<uint32_t> without_glyph(Catalogue& fonts, std::string_view line);

}  // namespace gaze::text
