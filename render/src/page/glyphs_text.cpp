// SPDX-License-Identifier: MIT
#include "page/glyphs_text.hpp"

#include FT_OUTLINE_H

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

namespace gaze::text {
namespace {

constexpr size_t kMostBytes = size_t{8} << 20;  // kept
constexpr size_t kGlyphBytes = size_t{2} << 20;
constexpr double kStem = 0.12;  // of a plain font's capitals: their width, of their height

void expect_done(FT_Error failed) {
  if (failed == FT_Err_Out_Of_Memory) throw std::bad_alloc();
}

// Of colours, each pixel the mean of those that it covers.
Picture scaled(const FT_Bitmap& bitmap, const FT_GlyphSlot slot, double factor) {
  Picture picture;
  picture.coloured = true;
  picture.left = static_cast<int>(std::lround(slot->bitmap_left * factor));
  picture.top = static_cast<int>(std::lround(slot->bitmap_top * factor));
  picture.width = std::max(1, static_cast<int>(std::lround(bitmap.width * factor)));
  picture.height = std::max(1, static_cast<int>(std::lround(bitmap.rows * factor)));
  picture.pixels.resize(static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) * 4);
  const auto edge = [](int at, int parts, unsigned whole) {
    return std::min(static_cast<int>(whole), static_cast<int>(int64_t{at} * whole / parts));
  };
  uint8_t* to = picture.pixels.data();
  for (int y = 0; y < picture.height; ++y) {
    const int top = edge(y, picture.height, bitmap.rows),
              end_y = std::max(top + 1, edge(y + 1, picture.height, bitmap.rows));
    for (int x = 0; x < picture.width; ++x) {
      const int left = edge(x, picture.width, bitmap.width),
                end_x = std::max(left + 1, edge(x + 1, picture.width, bitmap.width));
      std::array<int, 4> sums{};
      for (int from_y = top; from_y < end_y; ++from_y) {
        const uint8_t* from = bitmap.buffer + int64_t{from_y} * bitmap.pitch + int64_t{left} * 4;
        for (int from_x = left; from_x < end_x; ++from_x, from += 4)
          for (size_t c = 0; c < 4; ++c) sums[c] += from[c];
      }
      const int count = (end_y - top) * (end_x - left);
      for (const size_t c : {2, 1, 0, 3}) *to++ = static_cast<uint8_t>((sums[c] + count / 2) / count);  // from BGRA
    }
  }
  return picture;
}

Picture plain(const FT_Bitmap& bitmap, const FT_GlyphSlot slot) {
  Picture picture;
  picture.left = slot->bitmap_left;
  picture.top = slot->bitmap_top;
  picture.width = static_cast<int>(bitmap.width);
  picture.height = static_cast<int>(bitmap.rows);
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* from = bitmap.buffer + int64_t{y} * bitmap.pitch;
    picture.pixels.insert(picture.pixels.end(), from, from + picture.width);
  }
  return picture;
}

// Empty where the font has no picture for it, as for a blank.
Picture make_picture(FT_Face face, uint32_t glyph, int64_t em, int64_t bold, int phase) {
  expect_memory(kGlyphBytes);
  const bool fixed = !FT_IS_SCALABLE(face) && face->num_fixed_sizes > 0;
  const auto sized = fixed ? FT_Select_Size(face, 0) : FT_Set_Char_Size(face, 0, static_cast<FT_F26Dot6>(em), 72, 72);
  expect_done(sized);
  if (sized != 0) return {};
  const FT_Int32 flags = FT_HAS_COLOR(face) ? FT_LOAD_COLOR : FT_LOAD_TARGET_LIGHT | FT_LOAD_NO_BITMAP;
  const FT_Error loaded = FT_Load_Glyph(face, glyph, flags);
  expect_done(loaded);
  if (loaded != 0) return {};
  const FT_GlyphSlot slot = face->glyph;
  if (slot->format == FT_GLYPH_FORMAT_OUTLINE) {
    if (bold > 0) {
      expect_done(FT_Outline_Embolden(&slot->outline, bold));
      FT_Outline_Translate(&slot->outline, -bold / 2, -bold / 2);
    }
    FT_Outline_Translate(&slot->outline, phase * 64 / Glyphs::kPhases, 0);
  }
  const FT_Error drawn = FT_Render_Glyph(slot, FT_RENDER_MODE_NORMAL);
  expect_done(drawn);
  if (drawn != 0) return {};
  if (slot->bitmap.pixel_mode == FT_PIXEL_MODE_BGRA) {
    const double factor = fixed ? static_cast<double>(em) / static_cast<double>(face->size->metrics.y_ppem * 64) : 1;
    return scaled(slot->bitmap, slot, factor);
  }
  return slot->bitmap.pixel_mode == FT_PIXEL_MODE_GRAY ? plain(slot->bitmap, slot) : Picture{};
}

uint8_t mixed(int paper, int ink, int alpha) {
  return static_cast<uint8_t>((paper * (255 - alpha) + ink * alpha + 127) / 255);
}

void put(const Canvas& canvas, const Picture& picture, int left, int top, const Pen& pen) {
  const int first_x = std::max(0, left), end_x = std::min(canvas.width, left + picture.width);
  const int first_y = std::max(0, top), end_y = std::min(canvas.height, top + picture.height);
  const int step = picture.coloured ? 4 : 1;
  for (int y = first_y; y < end_y; ++y) {
    const uint8_t* from = picture.pixels.data() + (int64_t{y - top} * picture.width + first_x - left) * step;
    uint8_t* to = canvas.rgb + y * canvas.row_bytes + int64_t{first_x} * 3;
    for (int x = first_x; x < end_x; ++x, from += step, to += 3) {
      for (size_t c = 0; c < 3; ++c) {
        to[c] = picture.coloured ? static_cast<uint8_t>(std::min(255, from[c] + mixed(to[c], 0, from[3])))
                                 : mixed(to[c], pen.colour[c], from[0]);
      }
    }
  }
}

// As high as capitals, with a margin on both sides.
void put_box(const Canvas& canvas, int64_t at_64th, int64_t advance_64th, int baseline, const Pen& pen) {
  Picture box;
  const int line = std::max(1, static_cast<int>(std::lround(pen.size / 12)));
  box.width = std::max(3 * line, static_cast<int>(advance_64th * 8 / 10 / 64));
  box.height = std::max(3 * line, static_cast<int>(std::lround(pen.size)));
  for (int y = 0; y < box.height; ++y) {
    for (int x = 0; x < box.width; ++x) {
      const bool inside = y >= line && y < box.height - line && x >= line && x < box.width - line;
      box.pixels.push_back(inside ? 0 : 255);
    }
  }
  put(canvas, box, static_cast<int>((at_64th + advance_64th / 10) / 64), baseline - box.height, pen);
}

}  // namespace

const Picture& Glyphs::get(const OpenFont& font, uint32_t glyph, int64_t em_64th, int64_t bold_64th, int phase) {
  const Key key{font.number, glyph, em_64th, bold_64th, phase};
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  Picture made = make_picture(font.face, glyph, em_64th, bold_64th, phase);
  if (bytes_ > kMostBytes) {
    known_.clear();
    bytes_ = 0;
  }
  bytes_ += made.pixels.size() + sizeof(Key) + sizeof(Picture);
  return known_.emplace(key, std::move(made)).first->second;
}

void draw_shaped(Glyphs& glyphs, const Canvas& canvas, const Shaped& shaped, int left, int baseline, const Pen& pen) {
  const int64_t em = em_64th(pen.size);
  const auto bold = static_cast<int64_t>(std::lround(64 * std::max(0.0, pen.stroke - kStem * pen.size)));
  const int64_t end = (int64_t{canvas.width} + 1) * 64 + 2 * em;  // behind it not even what leans to the left is seen
  int64_t at = int64_t{left} * 64;
  for (const Run& run : shaped.runs) {
    for (const PlacedGlyph& glyph : run.glyphs) {
      if (at > end) return;
      const int64_t x = at + glyph.right, y = (glyph.up + 32) >> 6;
      at += glyph.advance;
      if (is_box(glyph)) {
        put_box(canvas, x, glyph.advance, baseline, pen);
        continue;
      }
      if (run.font == nullptr) continue;
      const int64_t pixel = x >> 6;  // rounds down, left of the canvas too
      const auto phase = static_cast<int>((x & 63) * Glyphs::kPhases / 64);
      const Picture& picture = glyphs.get(*run.font, glyph.glyph, em, bold, phase);
      put(canvas, picture, static_cast<int>(pixel) + picture.left, baseline - static_cast<int>(y) - picture.top, pen);
    }
  }
}

}  // namespace gaze::text
