// SPDX-License-Identifier: MIT
// Where words begin in texts whose scripts set no spaces between them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace gaze {

/// By Unicode's rules (UAX #29) and dictionaries.
struct WordBreaks {
  std::vector<size_t> at;  ///< bytes of the text before which a word or what stands between words begins, rising
  std::string by;          ///< whose: "ICU 72.1"
};

/// @param text  any bytes; what is no UTF-8 stands for a character that belongs to no word
/// @throws std::bad_alloc where there is less memory than that takes
/// @throws gaze::Error where the text has more than 1 MiB, or ICU fails
WordBreaks icu_word_breaks(const std::string& text);

/// As above, by the part that has ICU.
/// @return nothing where that cannot be; `problem` then says why
std::optional<WordBreaks> word_breaks(const std::string& text, std::string& problem);

}  // namespace gaze
