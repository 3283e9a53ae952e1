// SPDX-License-Identifier: MIT
// The library that draws text of any script, with the fonts of the machine.
#pragma once

#include <gaze/ops/part.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gaze::text {

/// uint8 RGB [height, width, 3], rows `row_bytes` apart.
struct Canvas {
  uint8_t* rgb;
  int height, width;
  int64_t row_bytes;
};

/// How text is drawn; lengths in pixels.
struct Pen {
  double size;    ///< height of a capital Latin letter
  double stroke;  ///< width of a stem, where the font's is less
  std::array<uint8_t, 3> colour;
};

/// Characters that a line cannot be broken between.
struct Cluster {
  size_t bytes;          ///< at least 1
  int64_t advance_64th;  ///< 1/64 pixel
  bool breaks_before;    ///< a line may begin with it, though no space is before it
};

/// Characters of a line that are read; what follows is not drawn, and has no width.
constexpr size_t kMostCharacters = 5000;

/// What libgaze_text.so gives to the others. Texts are UTF-8 of one line; bytes that are none stand for U+FFFD. All of
/// it is thread-safe, and throws std::bad_alloc, or gaze::Error where no font can be had.
struct TextPart : ops::PartTag {
  static constexpr const char *kFile = "libgaze_text.so", *kSymbol = "gaze_text_table";
  /// Of a line, in pixels.
  double (*width)(std::string_view line, double size);
  /// From left to right as read on paper, whatever the script; `left` and `baseline` in pixels. What falls off is cut.
  void (*draw)(const Canvas& canvas, std::string_view line, int left, int baseline, const Pen& pen);
  /// In the order of the text; the bytes of all together are those of the text, as far as it is read.
  std::vector<Cluster> (*clusters)(std::string_view text, double size);
  /// The different characters that no font has, rising: they are drawn as boxes.
  std::vector<uint32_t> (*without_glyph)(std::string_view text);
};

}  // namespace gaze::text
