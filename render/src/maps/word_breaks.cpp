// SPDX-License-Identifier: MIT
#include "maps/word_breaks.hpp"

#include <exception>
#include <new>

#include "maps/icu_part.hpp"

namespace gaze {
namespace {

const ops::Part<IcuPart>& icu_part() {
  static const auto* const part =  // leaked: used until the last thread ends
      new ops::Part<IcuPart>(ops::open_part<IcuPart>(reinterpret_cast<const void*>(&icu_part)));
  return *part;
}

}  // namespace

std::optional<WordBreaks> word_breaks(const std::string& text, std::string& problem) {
  try {
    const ops::Part<IcuPart>& part = icu_part();
    if (part.table != nullptr) return part.table->word_breaks(text);
    problem = "expected Gaze's ICU part, got: " + part.problem +
              ". Install ICU and a Gaze built with -DGAZE_WITH_ICU=ON to have words looked up.";
  } catch (const std::bad_alloc&) {
    problem = "no memory";  // needs none
  } catch (const std::exception& error) {
    problem = error.what();
  }
  return std::nullopt;
}

}  // namespace gaze
