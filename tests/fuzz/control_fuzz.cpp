// SPDX-License-Identifier: MIT
// Control files and patterns: what anybody may put there decides something that is in its range, or nothing.
#include <gaze/hooks/control.hpp>

#include <string_view>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gaze;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const Control before{.sample_rate = 0.5, .next = 3, .ids = "a*"};
  const ControlFile file = read_control(all, before);
  const Control& control = file.control;
  GAZE_HOLDS(control.sample_rate >= 0 && control.sample_rate <= 1);
  GAZE_HOLDS(control.next >= 0);
  GAZE_HOLDS(control.per_second >= 0 && control.per_second <= 1e6);
  GAZE_HOLDS(control.ids.size() <= 256 && control.prompts.size() <= 256);
  GAZE_HOLDS(file.until_seconds >= 0);
  GAZE_HOLDS(file.problems.size() <= 8);
  const auto rule = parse_keep(all);
  if (rule) GAZE_HOLDS(parse_keep(text_of(*rule)) == rule);
  const size_t half = size / 2;
  const std::string_view pattern = all.substr(0, half), text = all.substr(half);
  const bool matched = matches(pattern, text);
  if (pattern.find_first_of("*?") == std::string_view::npos) GAZE_HOLDS(matched == (pattern == text));
  GAZE_HOLDS(matches(control.ids, "") == (control.ids.find_first_not_of('*') == std::string::npos));
  return 0;
}
