// SPDX-License-Identifier: MIT
// The fonts of this machine, and which of them shows a character.
#pragma once

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include <hb.h>
#include FT_FREETYPE_H

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace gaze::text {

/// A font file that was opened.
struct OpenFont {
  FT_Face face;      ///< for glyphs
  hb_font_t* shape;  ///< for shaping
  int number;        ///< in the catalogue
};

/// Read once, and kept until the process ends. Not thread-safe.
class Catalogue {
 public:
  /// @throws gaze::Error where there is no font
  Catalogue();

  /// The first font that has all of them; else the first that has the first one; -1: none has it.
  /// @param colour  prefer a font of coloured pictures
  int find(const std::vector<uint32_t>& characters, bool colour);
  [[nodiscard]] bool coloured(int font) const { return fonts_[static_cast<size_t>(font)].colour; }
  [[nodiscard]] bool has(int font, uint32_t character) const;
  /// Null where the file can no longer be read.
  const OpenFont* open(int font);

 private:
  struct Listed {
    std::string file;
    int index;
    const FcCharSet* characters;
    bool colour;
    bool tried = false;
    std::unique_ptr<OpenFont> opened;
  };
  int first_with(uint32_t character, bool colour);
  void open_files(Listed& listed, int number);

  FT_Library freetype_ = nullptr;
  std::vector<Listed> fonts_;  // the preferred ones first
  std::unordered_map<uint64_t, int> known_;
};

/// Fonts, glyphs and shapers allocate in many small pieces, some of them kept for ever: what they need is asked for
/// first.
/// @throws std::bad_alloc
void expect_memory(size_t bytes);

}  // namespace gaze::text
