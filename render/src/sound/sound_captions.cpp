// SPDX-License-Identifier: MIT
#include "sound/sound_captions.hpp"

#include <cmath>
#include <cstdio>

#include "page/time_axis.hpp"

namespace gaze {
namespace {

template <typename... Values>
std::string print(const char* pattern, Values... values) {
  char text[96];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string span_text(const TimedWord& word) {
  if (!std::isfinite(word.start_seconds)) return {};
  const std::string end = clock_text(word.end_seconds, 2);
  std::string start = clock_text(word.start_seconds, 2);
  // One unit is enough for both.
  if (end.back() == 's') start.resize(start.size() - 2);
  return start + " - " + end;
}

}  // namespace

std::array<std::string, 5> word_figures(const TimedWord& word) {
  const bool timed = std::isfinite(word.start_seconds);
  return {span_text(word), timed ? print("within %.2f", word.share_within) : std::string(),
          print("%.0f%% of attention on the recording", 100 * word.mass),
          print("%.0f%% on padding", 100 * word.mass_on_padding),
          print(word.max_lift < 10 ? "peak %.1fx uniform" : "peak %.0fx uniform", word.max_lift)};
}

std::vector<std::string> word_warnings(const TimedWord& word) {
  std::vector<std::string> warnings;
  if (word.silence) warnings.emplace_back("said over silence");
  if (word.diffuse) warnings.emplace_back("diffuse, not coloured");
  const Verdict verdict = word.grounding.verdict;
  if (verdict == Verdict::Weak) warnings.emplace_back("weakly grounded");
  if (verdict == Verdict::NotGrounded) warnings.emplace_back(name(verdict));
  return warnings;
}

std::string describe_recording(const SoundAnalysis& heard) {
  const int64_t channels = heard.recording.samples_ct.size(0);
  std::string text = clock_text(heard.timing.seconds, 2);
  if (heard.timing.seconds >= 60) text += heard.timing.seconds >= 3600 ? " h" : " min";
  text += print(", %g kHz, ", static_cast<double>(heard.recording.sample_rate_hz) / 1000);
  text += channels == 1   ? "mono"
          : channels == 2 ? "stereo"
                          : std::to_string(channels) + " channels, of which the mean is drawn";
  if (heard.timing.start_seconds > 0) text += ", from " + clock_text(heard.timing.start_seconds, 2) + " on";
  return text;
}

}  // namespace gaze
