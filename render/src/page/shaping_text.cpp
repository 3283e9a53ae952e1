// SPDX-License-Identifier: MIT
#include "page/shaping_text.hpp"

#include <fribidi.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <new>
#include <optional>

#include "base/utf8.hpp"

namespace gaze::text {
namespace {

constexpr double kCapitalHeight = 0.72;  // of the em, in most fonts
constexpr size_t kMostMarks = 8;         // on one letter; the rest is not drawn
constexpr size_t kFixedBytes = size_t{2} << 20, kBytesPerCharacter = 512;

// Characters as a font is asked for them, and what keeps together.
struct Character {
  uint32_t code;
  size_t bytes;
  hb_script_t script;
  int font = -1;
  bool begins = true;  // a letter with its marks, or an emoji of several characters
};

struct Range {
  uint32_t first, last;
};

template <size_t N>
bool within(const Range (&ranges)[N], uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const Range& range) { return code >= range.first && code <= range.last; });
}

hb_unicode_general_category_t category(uint32_t code) {
  return hb_unicode_general_category(hb_unicode_funcs_get_default(), code);
}

bool is_mark(uint32_t code) {
  const hb_unicode_general_category_t kind = category(code);
  return kind == HB_UNICODE_GENERAL_CATEGORY_NON_SPACING_MARK || kind == HB_UNICODE_GENERAL_CATEGORY_ENCLOSING_MARK ||
         kind == HB_UNICODE_GENERAL_CATEGORY_SPACING_MARK;
}

// What is seen by what it does to others: joiners, directions, selectors of variants, tags.
bool is_unseen(uint32_t code) {
  constexpr Range kUnseen[] = {
      {0xAD, 0xAD},     {0x34F, 0x34F},   {0x61C, 0x61C},     {0x115F, 0x1160},   {0x17B4, 0x17B5},  {0x180B, 0x180F},
      {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},   {0x3164, 0x3164},   {0xFE00, 0xFE0F},  {0xFEFF, 0xFEFF},
      {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFF8}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}};
  return within(kUnseen, code);
}

bool is_space(uint32_t code) { return category(code) == HB_UNICODE_GENERAL_CATEGORY_SPACE_SEPARATOR; }

bool is_flag_letter(uint32_t code) { return code >= 0x1F1E6 && code <= 0x1F1FF; }

// Those that Unicode shows in colour where no selector asks for text.
bool is_emoji(uint32_t code) {
  constexpr Range kEmoji[] = {
      {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},   {0x23F3, 0x23F3},   {0x25FD, 0x25FE},
      {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},   {0x2693, 0x2693},   {0x26A1, 0x26A1},
      {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},   {0x26CE, 0x26CE},   {0x26D4, 0x26D4},
      {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},   {0x26FA, 0x26FA},   {0x26FD, 0x26FD},
      {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},   {0x274C, 0x274C},   {0x274E, 0x274E},
      {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},   {0x27B0, 0x27B0},   {0x27BF, 0x27BF},
      {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF},
      {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F1E6, 0x1F1FF}, {0x1F201, 0x1F265}, {0x1F300, 0x1F64F},
      {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7FF}, {0x1F90C, 0x1FAFF}};
  return within(kEmoji, code);
}

// Of scripts whose lines break between any two letters.
bool is_wide(hb_script_t script) {
  return script == HB_SCRIPT_HAN || script == HB_SCRIPT_HIRAGANA || script == HB_SCRIPT_KATAKANA ||
         script == HB_SCRIPT_BOPOMOFO || script == HB_SCRIPT_YI;
}

// Punctuation that no line begins with.
bool closes(uint32_t code) {
  const hb_unicode_general_category_t kind = category(code);
  return kind == HB_UNICODE_GENERAL_CATEGORY_CLOSE_PUNCTUATION ||
         kind == HB_UNICODE_GENERAL_CATEGORY_FINAL_PUNCTUATION ||
         kind == HB_UNICODE_GENERAL_CATEGORY_OTHER_PUNCTUATION || code == 0x30FC || code == 0x3005;
}

bool opens(uint32_t code) {
  const hb_unicode_general_category_t kind = category(code);
  return kind == HB_UNICODE_GENERAL_CATEGORY_OPEN_PUNCTUATION ||
         kind == HB_UNICODE_GENERAL_CATEGORY_INITIAL_PUNCTUATION;
}

std::vector<Character> characters_of(std::string_view line) {
  std::vector<Character> characters;
  size_t flag_letters = 0, marks = 0;
  for (size_t count = 0; !line.empty() && count < kMostCharacters; ++count) {
    const Utf8 read = decode_utf8(line);
    line.remove_prefix(read.length);
    Character next{read.code, read.length, hb_unicode_script(hb_unicode_funcs_get_default(), read.code)};
    // A character that ends a line or a page has no place in one.
    if (category(next.code) == HB_UNICODE_GENERAL_CATEGORY_CONTROL) next.code = ' ';
    if (!characters.empty()) {
      const uint32_t last = characters.back().code;
      const bool tone = next.code >= 0x1F3FB && next.code <= 0x1F3FF;
      const bool joined = last == 0x200D && next.code >= 0x2190;
      const bool flag = is_flag_letter(next.code) && flag_letters % 2 == 1;
      const bool mark = is_mark(next.code);
      next.begins = !(mark || is_unseen(next.code) || (tone && is_emoji(last)) || joined || flag);
      marks = next.begins ? 0 : marks + 1;
      if (mark && marks > kMostMarks) {
        characters.back().bytes += next.bytes;
        continue;
      }
    }
    flag_letters = is_flag_letter(next.code) ? flag_letters + 1 : 0;
    characters.push_back(next);
  }
  return characters;
}

// Digits, blanks and punctuation are of the script beside them.
void resolve_scripts(std::vector<Character>& characters) {
  const auto open = [](hb_script_t script) {
    return script == HB_SCRIPT_COMMON || script == HB_SCRIPT_INHERITED || script == HB_SCRIPT_UNKNOWN;
  };
  hb_script_t last = HB_SCRIPT_COMMON;
  for (Character& each : characters) last = each.script = open(each.script) ? last : each.script;
  for (auto each = characters.rbegin(); each != characters.rend(); ++each)
    last = each->script = open(each->script) ? last : each->script;
}

void choose_fonts(Catalogue& fonts, std::vector<Character>& characters) {
  std::vector<uint32_t> together;
  for (size_t i = 0; i < characters.size();) {
    size_t end = i + 1;
    while (end < characters.size() && !characters[end].begins) ++end;
    together.clear();
    bool as_text = false, as_emoji = is_emoji(characters[i].code);
    for (size_t k = i; k < end; ++k) {
      const uint32_t code = characters[k].code;
      as_text |= code == 0xFE0E;
      as_emoji |= code == 0xFE0F;
      if (k == i || !is_unseen(code)) together.push_back(code);
    }
    const int before = i > 0 ? characters[i - 1].font : -1;
    const bool keeps = before >= 0 && !fonts.coloured(before) && fonts.has(before, characters[i].code) &&
                       (is_space(characters[i].code) || is_unseen(characters[i].code));
    int font = keeps ? before : fonts.find(together, as_emoji && !as_text);
    // What is not seen needs no font of its own.
    if (font < 0 && is_unseen(characters[i].code)) font = before;
    for (size_t k = i; k < end; ++k) characters[k].font = font;
    i = end;
  }
}

// Levels of Unicode's bidirectional algorithm: odd ones are read from right to left.
std::vector<FriBidiLevel> levels_of(const std::vector<Character>& characters) {
  std::vector<FriBidiChar> codes;
  for (const Character& each : characters) codes.push_back(each.code);
  const auto count = static_cast<FriBidiStrIndex>(codes.size());
  std::vector<FriBidiCharType> types(codes.size());
  std::vector<FriBidiBracketType> brackets(codes.size());
  fribidi_get_bidi_types(codes.data(), count, types.data());
  fribidi_get_bracket_types(codes.data(), count, types.data(), brackets.data());
  std::vector<FriBidiLevel> levels(codes.size());
  FriBidiParType direction = FRIBIDI_PAR_ON;
  if (fribidi_get_par_embedding_levels_ex(types.data(), brackets.data(), count, &direction, levels.data()) == 0)
    throw std::bad_alloc();
  return levels;
}

struct Span {
  size_t first, end;
  FriBidiLevel level;
};

// From the highest level down, what lies on it or above is turned round (rule L2).
void reorder(std::vector<Span>& spans) {
  FriBidiLevel highest = 0;
  for (const Span& span : spans) highest = std::max(highest, span.level);
  for (FriBidiLevel level = highest; level >= 1; --level) {
    for (size_t i = 0; i < spans.size();) {
      if (spans[i].level < level) {
        ++i;
        continue;
      }
      size_t end = i;
      while (end < spans.size() && spans[end].level >= level) ++end;
      std::reverse(spans.begin() + static_cast<ptrdiff_t>(i), spans.begin() + static_cast<ptrdiff_t>(end));
      i = end;
    }
  }
}

// Chinese, Japanese and Korean share characters that each writes in its own way.
const char* language_of(const std::vector<Character>& characters) {
  const char* language = "zh-hans";
  for (const Character& each : characters) {
    if (each.script == HB_SCRIPT_HIRAGANA || each.script == HB_SCRIPT_KATAKANA) return "ja";
    if (each.script == HB_SCRIPT_HANGUL) language = "ko";
  }
  return language;
}

// Glyph 0 is a box, as it is in every font.
Run boxes(const std::vector<Character>& characters, const Span& span, int64_t em) {
  Run run{nullptr, {}};
  for (size_t i = span.first; i < span.end; ++i) {
    const Character& each = characters[i];
    const bool seen = !is_unseen(each.code) && (each.begins || i == span.first);
    const int64_t advance = !seen ? 0 : is_space(each.code) ? em * 3 / 10 : em * 7 / 10;
    run.glyphs.push_back({seen && !is_space(each.code) ? 0U : 1U, i, advance, 0, 0});
  }
  if (span.level % 2 == 1) std::reverse(run.glyphs.begin(), run.glyphs.end());
  return run;
}

Run shape_run(const OpenFont& font, const std::vector<Character>& characters, const std::vector<uint32_t>& codes,
              const Span& span, const char* language, int64_t em) {
  const std::unique_ptr<hb_buffer_t, decltype(&hb_buffer_destroy)> buffer(hb_buffer_create(), &hb_buffer_destroy);
  hb_buffer_add_codepoints(buffer.get(), codes.data(), static_cast<int>(codes.size()),
                           static_cast<unsigned>(span.first), static_cast<int>(span.end - span.first));
  hb_buffer_set_direction(buffer.get(), span.level % 2 == 1 ? HB_DIRECTION_RTL : HB_DIRECTION_LTR);
  hb_buffer_set_script(buffer.get(), characters[span.first].script);
  hb_buffer_set_language(buffer.get(), hb_language_from_string(language, -1));
  hb_font_set_scale(font.shape, static_cast<int>(em), static_cast<int>(em));
  hb_shape(font.shape, buffer.get(), nullptr, 0);
  if (hb_buffer_allocation_successful(buffer.get()) == 0) throw std::bad_alloc();
  unsigned count = 0;
  const hb_glyph_info_t* const infos = hb_buffer_get_glyph_infos(buffer.get(), &count);
  const hb_glyph_position_t* const places = hb_buffer_get_glyph_positions(buffer.get(), &count);
  Run run{&font, {}};
  for (unsigned g = 0; g < count; ++g) {
    run.glyphs.push_back(
        {infos[g].codepoint, infos[g].cluster, places[g].x_advance, places[g].x_offset, places[g].y_offset});
  }
  return run;
}

std::vector<Span> spans_of(const std::vector<Character>& characters) {
  const std::vector<FriBidiLevel> levels = levels_of(characters);
  std::vector<Span> spans;
  for (size_t i = 0; i < characters.size(); ++i) {
    const bool alike = i > 0 && characters[i].font == characters[i - 1].font &&
                       characters[i].script == characters[i - 1].script && levels[i] == levels[i - 1];
    if (!alike) spans.push_back({i, i, levels[i]});
    ++spans.back().end;
  }
  return spans;
}

std::vector<Character> characters_with_fonts(Catalogue& fonts, std::string_view line) {
  const size_t most = std::min(line.size(), kMostCharacters);
  expect_memory(kFixedBytes + kBytesPerCharacter * most);
  std::vector<Character> characters = characters_of(line);
  resolve_scripts(characters);
  choose_fonts(fonts, characters);
  return characters;
}

}  // namespace

bool is_box(const PlacedGlyph& glyph) { return glyph.glyph == 0; }

int64_t em_64th(double size) { return std::llround(64 * size / kCapitalHeight); }

Shaped shape(Catalogue& fonts, std::string_view line, double size) {
  const std::vector<Character> characters = characters_with_fonts(fonts, line);
  Shaped shaped;
  for (const Character& each : characters) {
    shaped.codes.push_back(each.code);
    shaped.bytes.push_back(each.bytes);
  }
  if (characters.empty()) return shaped;
  std::vector<Span> spans = spans_of(characters);
  reorder(spans);
  const char* const language = language_of(characters);
  for (const Span& span : spans) {
    const int font = characters[span.first].font;
    shaped.runs.push_back(font < 0
                              ? boxes(characters, span, em_64th(size))
                              : shape_run(*fonts.open(font), characters, shaped.codes, span, language, em_64th(size)));
  }
  return shaped;
}

std::vector<Cluster> clusters_of(const Shaped& shaped) {
  std::map<size_t, int64_t> advances;  // of clusters, by their first character
  for (const Run& run : shaped.runs)
    for (const PlacedGlyph& glyph : run.glyphs) advances[glyph.character] += glyph.advance;
  std::vector<Cluster> clusters;
  bool last_wide = false;
  uint32_t last = 0;
  for (size_t i = 0; i < shaped.codes.size(); ++i) {
    const auto found = advances.find(i);
    if (found == advances.end() && !clusters.empty()) {
      clusters.back().bytes += shaped.bytes[i];
      continue;
    }
    const uint32_t code = shaped.codes[i];
    const bool wide = is_wide(hb_unicode_script(hb_unicode_funcs_get_default(), code)) ||
                      (code >= 0x3000 && code < 0x3040) || (code >= 0xFF00 && code < 0xFF61);
    clusters.push_back({shaped.bytes[i], found == advances.end() ? 0 : found->second,
                        i > 0 && (wide || last_wide) && !closes(code) && !opens(last)});
    last_wide = wide;
    last = code;
  }
  return clusters;
}

int64_t advance_of(const Shaped& shaped) {
  int64_t advance = 0;
  for (const Run& run : shaped.runs)
    for (const PlacedGlyph& glyph : run.glyphs) advance += glyph.advance;
  return advance;
}

std::vector<uint32_t> without_glyph(Catalogue& fonts, std::string_view line) {
  const Shaped shaped = shape(fonts, line, 10);
  std::vector<uint32_t> lacking;
  for (const Run& run : shaped.runs) {
    for (const PlacedGlyph& glyph : run.glyphs) {
      if (is_box(glyph)) lacking.push_back(shaped.codes[glyph.character]);
    }
  }
  std::sort(lacking.begin(), lacking.end());
  lacking.erase(std::unique(lacking.begin(), lacking.end()), lacking.end());
  return lacking;
}

}  // namespace gaze::text
