// SPDX-License-Identifier: MIT
// What must be known of characters to find words.
#pragma once

#include <cstdint>

namespace gaze {

/// Unicode's White_Space.
bool white(uint32_t code) noexcept;

/// What is written and not said: stops, commas, quotes, brackets, dashes.
bool punctuation(uint32_t code) noexcept;

/// What a reader sees as part of the character before it: combining marks, joiners, variation selectors, skin tones.
bool extends(uint32_t code) noexcept;

/// How the script of a character sets words apart.
enum class Spacing {
  Spaces,      ///< by spaces, as most do
  Ideographs,  ///< not at all: Han, kana, and their punctuation
  Syllables    ///< not at all, and letters make syllables: Thai, Lao, Khmer, Myanmar, ...
};
Spacing spacing(uint32_t code) noexcept;

/// Of a character whose script sets no spaces: whether Unicode's rules and ICU's dictionaries know its words. Of the
/// others (Javanese, Tai Tham, Yi, ...) they make one of a whole sentence.
bool in_dictionaries(uint32_t code) noexcept;

}  // namespace gaze
