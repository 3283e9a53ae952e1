// SPDX-License-Identifier: MIT
#include "page/catalogue_text.hpp"

#include <hb-ot.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <new>
#include <string_view>
#include <system_error>
#include <tuple>

namespace gaze::text {
namespace {

// Not the machine's own configuration: that depends on the user, the environment and the language, and pictures should
// not. Caches are those that installing a font makes.
constexpr const char* kConfiguration =
    "<?xml version=\"1.0\"?><fontconfig><cachedir>/var/cache/fontconfig</cachedir></fontconfig>";
constexpr const char* kFolders[] = {"/usr/share/fonts", "/usr/local/share/fonts"};
constexpr int kMostDepth = 8;  // of folders: one may lie in itself

using Config = std::unique_ptr<FcConfig, decltype(&FcConfigDestroy)>;
using FontSet = std::unique_ptr<FcFontSet, decltype(&FcFontSetDestroy)>;

constexpr size_t kOpeningBytes = size_t{8} << 20;

std::string_view text_of(FcPattern* font, const char* what) {
  FcChar8* value = nullptr;
  if (FcPatternGetString(font, what, 0, &value) != FcResultMatch) return {};
  return reinterpret_cast<const char*>(value);
}

int number_of(FcPattern* font, const char* what, int otherwise) {
  double value = 0;  // a whole one is given as well
  return FcPatternGetDouble(font, what, 0, &value) == FcResultMatch ? static_cast<int>(value) : otherwise;
}

bool is(FcPattern* font, const char* what) {
  FcBool value = FcFalse;
  return FcPatternGetBool(font, what, 0, &value) == FcResultMatch && value == FcTrue;
}

// The lower, the sooner a font is taken: plain upright faces without serifs, of which one that has many scripts is
// first.
auto rank(FcPattern* font) {
  constexpr std::string_view kPreferred[] = {"DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Liberation Sans"};
  const std::string_view family = text_of(font, FC_FAMILY);
  const auto preferred = std::find(std::begin(kPreferred), std::end(kPreferred), family) - std::begin(kPreferred);
  const bool plain = number_of(font, FC_WEIGHT, FC_WEIGHT_REGULAR) == FC_WEIGHT_REGULAR &&
                     number_of(font, FC_SLANT, FC_SLANT_ROMAN) == FC_SLANT_ROMAN &&
                     number_of(font, FC_WIDTH, FC_WIDTH_NORMAL) == FC_WIDTH_NORMAL;
  const bool sans = family.find("Sans") != std::string_view::npos;
  const bool mono = family.find("Mono") != std::string_view::npos;
  return std::make_tuple(!plain, preferred, !sans, mono, family, text_of(font, FC_FILE), number_of(font, FC_INDEX, 0));
}

bool usable(FcPattern* font) {
  const std::string_view format = text_of(font, FC_FONTFORMAT);
  FcCharSet* characters = nullptr;
  return (format == "TrueType" || format == "CFF") && (is(font, FC_SCALABLE) || is(font, FC_COLOR)) &&
         !is(font, FC_VARIABLE) && FcPatternGetCharSet(font, FC_CHARSET, 0, &characters) == FcResultMatch;
}

// What fontconfig's cache knows of a folder, or else what its files say. Reading a folder as a whole is not left to
// fontconfig, which would write a cache, and print an error where it may not.
void add_folder(const Config& config, const std::string& folder, int depth, std::vector<FontSet>& sets) {
  std::vector<std::string> below;
  const auto* const name = reinterpret_cast<const FcChar8*>(folder.c_str());
  if (FcCache* const cache = FcDirCacheLoad(name, config.get(), nullptr)) {
    sets.emplace_back(FcCacheCopySet(cache), &FcFontSetDestroy);
    for (int i = 0; i < FcCacheNumSubdir(cache); ++i)
      below.emplace_back(reinterpret_cast<const char*>(FcCacheSubdir(cache, i)));
    FcDirCacheUnload(cache);
  } else {
    sets.emplace_back(FcFontSetCreate(), &FcFontSetDestroy);
    std::error_code unread;
    for (const auto& entry : std::filesystem::directory_iterator(folder, unread)) {
      if (entry.is_directory(unread)) {
        below.push_back(entry.path());
      } else if (entry.is_regular_file(unread) && sets.back() != nullptr) {
        int count = 0;
        (void)FcFreeTypeQueryAll(reinterpret_cast<const FcChar8*>(entry.path().c_str()), static_cast<unsigned>(-1),
                                 nullptr, &count, sets.back().get());
      }
    }
  }
  if (sets.back() == nullptr) throw std::bad_alloc();
  if (depth == kMostDepth) return;
  for (const std::string& each : below) add_folder(config, each, depth + 1, sets);
}

std::vector<FontSet> all_fonts() {
  const Config config(FcConfigCreate(), &FcConfigDestroy);
  if (config == nullptr) throw std::bad_alloc();
  const auto* const text = reinterpret_cast<const FcChar8*>(kConfiguration);
  if (FcConfigParseAndLoadFromMemory(config.get(), text, FcTrue) == FcFalse) throw std::bad_alloc();
  std::vector<FontSet> sets;
  for (const char* const folder : kFolders) add_folder(config, folder, 0, sets);
  return sets;
}

}  // namespace

void expect_memory(size_t bytes) { ::operator delete(::operator new(bytes)); }

Catalogue::Catalogue() {
  expect_memory(kOpeningBytes);
  const std::vector<FontSet> sets = all_fonts();
  std::vector<FcPattern*> fonts;
  for (const FontSet& set : sets) std::copy_if(set->fonts, set->fonts + set->nfont, std::back_inserter(fonts), &usable);
  if (fonts.empty()) {
    throw Error("fonts: expected fonts in /usr/share/fonts, got none. apt-get install fonts-dejavu-core",
                DropReason::RenderError);
  }
  std::sort(fonts.begin(), fonts.end(), [](FcPattern* a, FcPattern* b) { return rank(a) < rank(b); });
  for (FcPattern* font : fonts) {
    FcCharSet* characters = nullptr;
    FcPatternGetCharSet(font, FC_CHARSET, 0, &characters);
    // A copy counts the uses of its original, which so outlives its set.
    FcCharSet* const kept = FcCharSetCopy(characters);
    Listed& listed = fonts_.emplace_back();
    listed.file = text_of(font, FC_FILE);
    listed.index = number_of(font, FC_INDEX, 0);
    listed.characters = kept;
    listed.colour = is(font, FC_COLOR);
  }
  if (FT_Init_FreeType(&freetype_) != 0) throw std::bad_alloc();
}

bool Catalogue::has(int font, uint32_t character) const {
  return FcCharSetHasChar(fonts_[static_cast<size_t>(font)].characters, character) == FcTrue;
}

int Catalogue::first_with(uint32_t character, bool colour) {
  constexpr size_t kMostKnown = 1 << 16;
  const uint64_t key = uint64_t{character} << 1 | uint64_t{colour};
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  int found = -1;
  for (const bool of_colour : {colour, !colour}) {
    for (size_t i = 0; i < fonts_.size() && found < 0; ++i) {
      const auto font = static_cast<int>(i);
      if (fonts_[i].colour == of_colour && has(font, character) && open(font) != nullptr) found = font;
    }
  }
  if (known_.size() >= kMostKnown) known_.clear();
  known_.emplace(key, found);
  return found;
}

int Catalogue::find(const std::vector<uint32_t>& characters, bool colour) {
  const int first = first_with(characters.front(), colour);
  const auto has_all = [&](int font) {
    return std::all_of(characters.begin(), characters.end(), [&](uint32_t each) { return has(font, each); });
  };
  if (first < 0 || characters.size() == 1 || has_all(first)) return first;
  for (size_t i = 0; i < fonts_.size(); ++i) {
    const auto font = static_cast<int>(i);
    if (fonts_[i].colour == fonts_[static_cast<size_t>(first)].colour && has_all(font) && open(font) != nullptr)
      return font;
  }
  return first;
}

const OpenFont* Catalogue::open(int font) {
  Listed& listed = fonts_[static_cast<size_t>(font)];
  if (!listed.tried) {
    expect_memory(kOpeningBytes);
    open_files(listed, font);
    listed.tried = true;
  }
  return listed.opened.get();
}

void Catalogue::open_files(Listed& listed, int number) {
  FT_Face face = nullptr;
  const FT_Error failed = FT_New_Face(freetype_, listed.file.c_str(), listed.index, &face);
  if (failed == FT_Err_Out_Of_Memory) throw std::bad_alloc();
  if (failed != 0) return;
  hb_blob_t* const file = hb_blob_create_from_file_or_fail(listed.file.c_str());
  if (file == nullptr) {
    FT_Done_Face(face);
    return;
  }
  hb_face_t* const tables = hb_face_create(file, static_cast<unsigned>(listed.index & 0xFFFF));
  hb_font_t* const shape = hb_font_create(tables);
  hb_face_destroy(tables);
  hb_blob_destroy(file);
  if (listed.index >> 16 > 0) hb_font_set_var_named_instance(shape, static_cast<unsigned>((listed.index >> 16) - 1));
  listed.opened = std::make_unique<OpenFont>(OpenFont{face, shape, number});
}

}  // namespace gaze::text
