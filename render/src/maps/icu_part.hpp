// SPDX-License-Identifier: MIT
// The library that uses ICU.
#pragma once

#include <gaze/ops/part.hpp>

#include "maps/word_breaks.hpp"

namespace gaze {

/// What libgaze_icu.so gives to the core.
struct IcuPart : ops::PartTag {
  static constexpr const char *kFile = "libgaze_icu.so", *kSymbol = "gaze_icu_table";
  decltype(&gaze::icu_word_breaks) word_breaks;
};

}  // namespace gaze
