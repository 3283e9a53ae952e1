// SPDX-License-Identifier: MIT
#include "page/transliterate.hpp"

#include <cstdint>

#include "base/utf8.hpp"

namespace gaze {
namespace {

// U+00C0..U+00FF; "x" and "/" for the two signs among the letters.
constexpr const char* kLatin[64] = {"A", "A", "A", "A", "Ae", "A", "AE", "C", "E", "E", "E", "E", "I",  "I", "I",  "I",
                                    "D", "N", "O", "O", "O",  "O", "Oe", "x", "O", "U", "U", "U", "Ue", "Y", "Th", "ss",
                                    "a", "a", "a", "a", "ae", "a", "ae", "c", "e", "e", "e", "e", "i",  "i", "i",  "i",
                                    "d", "n", "o", "o", "o",  "o", "oe", "/", "o", "u", "u", "u", "ue", "y", "th", "y"};

// Latin Extended-A and -B, U+0100..U+024F; "" for signs that are like no letter.
constexpr const char* kExtended[336] = {
    "A", "a", "A", "a", "A", "a",  "C",  "c",  "C",  "c",  "C",  "c",  "C",  "c",  "D",  "d",  "D",  "d",  "E",
    "e", "E", "e", "E", "e", "E",  "e",  "E",  "e",  "G",  "g",  "G",  "g",  "G",  "g",  "G",  "g",  "H",  "h",
    "H", "h", "I", "i", "I", "i",  "I",  "i",  "I",  "i",  "I",  "i",  "IJ", "ij", "J",  "j",  "K",  "k",  "q",
    "L", "l", "L", "l", "L", "l",  "L",  "l",  "L",  "l",  "N",  "n",  "N",  "n",  "N",  "n",  "'n", "Ng", "ng",
    "O", "o", "O", "o", "O", "o",  "OE", "oe", "R",  "r",  "R",  "r",  "R",  "r",  "S",  "s",  "S",  "s",  "S",
    "s", "S", "s", "T", "t", "T",  "t",  "T",  "t",  "U",  "u",  "U",  "u",  "U",  "u",  "U",  "u",  "U",  "u",
    "U", "u", "W", "w", "Y", "y",  "Y",  "Z",  "z",  "Z",  "z",  "Z",  "z",  "s",  "b",  "B",  "B",  "b",  "",
    "",  "O", "C", "c", "D", "D",  "D",  "d",  "",   "E",  "E",  "E",  "F",  "f",  "G",  "",   "hv", "I",  "I",
    "K", "k", "l", "",  "M", "N",  "n",  "O",  "O",  "o",  "OI", "oi", "P",  "p",  "R",  "",   "",   "S",  "",
    "t", "T", "t", "T", "U", "u",  "U",  "V",  "Y",  "y",  "Z",  "z",  "Z",  "",   "",   "",   "",   "",   "",
    "",  "w", "",  "",  "",  "",   "DZ", "Dz", "dz", "LJ", "Lj", "lj", "NJ", "Nj", "nj", "A",  "a",  "I",  "i",
    "O", "o", "U", "u", "U", "u",  "U",  "u",  "U",  "u",  "U",  "u",  "e",  "A",  "a",  "A",  "a",  "AE", "ae",
    "G", "g", "G", "g", "K", "k",  "O",  "o",  "O",  "o",  "Z",  "z",  "j",  "DZ", "Dz", "dz", "G",  "g",  "Hv",
    "W", "N", "n", "A", "a", "AE", "ae", "O",  "o",  "A",  "a",  "A",  "a",  "E",  "e",  "E",  "e",  "I",  "i",
    "I", "i", "O", "o", "O", "o",  "R",  "r",  "R",  "r",  "U",  "u",  "U",  "u",  "S",  "s",  "T",  "t",  "Y",
    "y", "H", "h", "N", "d", "OU", "ou", "Z",  "z",  "A",  "a",  "E",  "e",  "O",  "o",  "O",  "o",  "O",  "o",
    "O", "o", "Y", "y", "l", "n",  "t",  "j",  "db", "qp", "A",  "C",  "c",  "L",  "T",  "s",  "z",  "",   "",
    "B", "U", "V", "E", "e", "J",  "j",  "Q",  "q",  "R",  "r",  "Y",  "y"};

// Latin Extended Additional, U+1E00..U+1EFF.
constexpr const char* kAdditional[256] = {
    "A", "a", "B", "b", "B",  "b", "B", "b", "C",  "c",  "D", "d", "D", "d", "D", "d", "D", "d", "D", "d", "E", "e",
    "E", "e", "E", "e", "E",  "e", "E", "e", "F",  "f",  "G", "g", "H", "h", "H", "h", "H", "h", "H", "h", "H", "h",
    "I", "i", "I", "i", "K",  "k", "K", "k", "K",  "k",  "L", "l", "L", "l", "L", "l", "L", "l", "M", "m", "M", "m",
    "M", "m", "N", "n", "N",  "n", "N", "n", "N",  "n",  "O", "o", "O", "o", "O", "o", "O", "o", "P", "p", "P", "p",
    "R", "r", "R", "r", "R",  "r", "R", "r", "S",  "s",  "S", "s", "S", "s", "S", "s", "S", "s", "T", "t", "T", "t",
    "T", "t", "T", "t", "U",  "u", "U", "u", "U",  "u",  "U", "u", "U", "u", "V", "v", "V", "v", "W", "w", "W", "w",
    "W", "w", "W", "w", "W",  "w", "X", "x", "X",  "x",  "Y", "y", "Z", "z", "Z", "z", "Z", "z", "h", "t", "w", "y",
    "a", "s", "s", "s", "SS", "d", "A", "a", "A",  "a",  "A", "a", "A", "a", "A", "a", "A", "a", "A", "a", "A", "a",
    "A", "a", "A", "a", "A",  "a", "A", "a", "E",  "e",  "E", "e", "E", "e", "E", "e", "E", "e", "E", "e", "E", "e",
    "E", "e", "I", "i", "I",  "i", "O", "o", "O",  "o",  "O", "o", "O", "o", "O", "o", "O", "o", "O", "o", "O", "o",
    "O", "o", "O", "o", "O",  "o", "O", "o", "U",  "u",  "U", "u", "U", "u", "U", "u", "U", "u", "U", "u", "U", "u",
    "Y", "y", "Y", "y", "Y",  "y", "Y", "y", "LL", "ll", "V", "v", "Y", "y"};

constexpr const char* kLigatures[7] = {"ff", "fi", "fl", "ffi", "ffl", "st", "st"};  // U+FB00..U+FB06

constexpr size_t kMostMarks = 8;  // behind one letter

bool letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

const char* likeness(uint32_t code) {
  if (code >= 0xC0 && code <= 0xFF) return kLatin[code - 0xC0];
  if (code >= 0x100 && code <= 0x24F) return *kExtended[code - 0x100] != 0 ? kExtended[code - 0x100] : nullptr;
  if (code >= 0x1E00 && code <= 0x1EFF) return kAdditional[code - 0x1E00];
  if (code >= 0xFB00 && code <= 0xFB06) return kLigatures[code - 0xFB00];
  switch (code) {
    case 0xA0:
      return " ";
    case 0x2018:
    case 0x2019:
      return "'";
    case 0x201C:
    case 0x201D:
      return "\"";
    case 0x2013:
    case 0x2014:
      return "-";
    case 0x2026:
      return "...";
    default:
      return nullptr;
  }
}

}  // namespace

Plain to_ascii(std::string_view utf8, size_t most) {
  Plain plain;
  size_t marks = 0;  // since the last letter
  while (!utf8.empty()) {
    if (plain.text.size() >= most) {
      plain.text.resize(most);
      plain.text += "...";
      return plain;
    }
    const Utf8 character = decode_utf8(utf8);  // U+FFFD, where it is none, has no likeness
    const uint32_t code = character.code;
    utf8.remove_prefix(character.length);
    const bool after_letter = !plain.text.empty() && letter(plain.text.back());
    if (code < 0x20 || code == 0x7F) {
      plain.text += ' ';
    } else if (code < 0x80) {
      plain.text += static_cast<char>(code);
    } else if (code >= 0x300 && code <= 0x36F && after_letter && marks < kMostMarks) {
      ++marks;
      continue;
    } else if (const char* similar = likeness(code)) {
      plain.text += similar;
    } else {
      plain.text += '?';
      plain.lossy = true;
    }
    marks = 0;
  }
  return plain;
}

}  // namespace gaze
