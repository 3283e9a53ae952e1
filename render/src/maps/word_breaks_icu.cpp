// SPDX-License-Identifier: MIT
#include <unicode/ubrk.h>
#include <unicode/utf16.h>
#include <unicode/uversion.h>
#include <gaze/render/status.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <string_view>

#include "base/utf8.hpp"
#include "maps/icu_part.hpp"

namespace gaze {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
// What ICU takes at most for a text: its tables are made at the first one; measured are 0.2 MB, and 44 for each byte.
constexpr size_t kFixedBytes = size_t{1} << 20, kBytesPerByte = 64;

// Calls `each(character, bytes before it)`.
template <typename Each>
void for_characters(const std::string& text, const Each& each) {
  for (size_t at = 0; at < text.size();) {
    const Utf8 character = decode_utf8(std::string_view(text).substr(at));
    each(character.code, at);
    at += character.length;
  }
}

// ICU's own: of UTF-8 it finds other words, for it counts the bytes of a letter where it means letters.
std::u16string utf16(const std::string& text) {
  std::u16string units;
  units.reserve(text.size());
  for_characters(text, [&](uint32_t code, size_t /*at*/) {
    if (U_IS_BMP(code)) {
      units += static_cast<char16_t>(code);
    } else {
      units += {static_cast<char16_t>(U16_LEAD(code)), static_cast<char16_t>(U16_TRAIL(code))};
    }
  });
  return units;
}

void expect_success(UErrorCode status) {
  if (status == U_MEMORY_ALLOCATION_ERROR) throw std::bad_alloc();
  if (U_FAILURE(status)) {
    throw Error(std::string("words: expected ICU to break a text into words, got ") + u_errorName(status) +
                    ". Check that its library and its data are of one version.",
                DropReason::RenderError);
  }
}

// ICU takes it badly where a small allocation fails: it waits for ever, follows null, or knows fewer words from then
// on.
void expect_memory(size_t text_bytes) { ::operator delete(::operator new(kFixedBytes + kBytesPerByte * text_bytes)); }

std::string version() {
  UVersionInfo numbers;
  u_getVersion(numbers);
  char text[U_MAX_VERSION_STRING_LENGTH];
  u_versionToString(numbers, text);
  return std::string("ICU ") + text;
}

}  // namespace

WordBreaks icu_word_breaks(const std::string& text) {
  if (text.size() > kMostBytes) {
    throw Error("words: expected at most " + std::to_string(kMostBytes) + " bytes of text, got " +
                    std::to_string(text.size()) + ".",
                DropReason::RenderError);
  }
  expect_memory(text.size());
  const std::u16string units = utf16(text);
  UErrorCode status = U_ZERO_ERROR;
  // Of no language: the same words whatever the machine speaks.
  const std::unique_ptr<UBreakIterator, decltype(&ubrk_close)> words(
      ubrk_open(UBRK_WORD, "", units.data(), static_cast<int32_t>(units.size()), &status), &ubrk_close);
  expect_success(status);
  WordBreaks breaks{{}, version()};
  int32_t next = ubrk_first(words.get()), unit = 0;
  for_characters(text, [&](uint32_t code, size_t at) {
    if (next == unit) {
      breaks.at.push_back(at);
      next = ubrk_next(words.get());
    }
    unit += U16_LENGTH(code);
  });
  // What else could have ended it, or led it astray?
  if (next != unit || ubrk_next(words.get()) != UBRK_DONE) throw std::bad_alloc();
  return breaks;
}

}  // namespace gaze

extern "C" GAZE_API const gaze::IcuPart gaze_icu_table = {{GAZE_VERSION, sizeof(gaze::IcuPart)},
                                                          &gaze::icu_word_breaks};
