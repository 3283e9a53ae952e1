// SPDX-License-Identifier: MIT
#include "sound/sound_parts.hpp"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "page/time_axis.hpp"

namespace gaze {
namespace {

[[noreturn]] void refuse_windows(const std::string& text) { throw Error(text, DropReason::GridMismatch); }

// Rounding of times and rates must not make a cell more or less.
int64_t cells_begun_before(double seconds, const Timeline& time) {
  return static_cast<int64_t>(std::ceil((seconds - time.first_seconds) / time.seconds_per_key - 1e-6));
}

void check_windows(const SoundMedium& medium, double seconds) {
  for (size_t i = 0; i < medium.windows.size(); ++i) {
    const SoundWindow& window = medium.windows[i];
    const double least = i == 0 ? 0 : medium.windows[i - 1].start_seconds;
    if (!(window.start_seconds >= least && window.start_seconds < seconds)) {
      refuse_windows("window: expected a start of " + seconds_text(least) + " or later, before the sound's end at " +
                     seconds_text(seconds) + ", got " + seconds_text(window.start_seconds) +
                     ". Say in seconds where time 0 of the keys lies in the request's sound.");
    }
    if (!(window.seconds > 0)) {
      refuse_windows(
          "window: expected a length above 0, got " + seconds_text(window.seconds) +
          ". Say how many seconds of the sound the model was given, or leave it out where its keys are filled.");
    }
  }
}

// Whether what the model heard can be this recording.
void check_length(const SoundMedium& medium, double seconds) {
  const Geometry& geometry = medium.geometry;
  const Timeline& time = *geometry.time;
  const double last_start = medium.windows.empty() ? 0 : medium.windows.back().start_seconds;
  const double end = covered_seconds(medium), covered = end - last_start;
  // A stem without padding drops a few keys at the end.
  const double slack = std::max(5 * time.seconds_per_key, 0.02 * covered);
  const std::string keys = std::to_string(geometry.cols) + " keys of " + seconds_text(time.seconds_per_key);
  if (end + slack < seconds) {
    refuse_windows(
        "sound: expected at most " + seconds_text(end) + ", which " + keys + " cover" +
        (last_start > 0 ? " in the last window" : "") + ", got " + seconds_text(seconds) +
        ". Give the part that the model heard (start_seconds says where it begins), or call Request::window for "
        "every part.");
  }
  if (time.whole && std::abs(end - seconds) > slack) {
    refuse_windows("sound: expected about " + seconds_text(end) + ", which " + keys + " cover, got " +
                   seconds_text(seconds) + ". Give the recording the model heard, at its true sample rate.");
  }
}

}  // namespace

int64_t cells_of(double seconds, const Timeline& time) {
  return std::max<int64_t>(1, cells_begun_before(seconds, time));
}

double covered_seconds(const SoundMedium& medium) {
  const Timeline& time = *medium.geometry.time;
  const double last_start = medium.windows.empty() ? 0 : medium.windows.back().start_seconds;
  return last_start + time.first_seconds + static_cast<double>(medium.geometry.cols) * time.seconds_per_key;
}

std::vector<SoundPart> divide(const SoundMedium& medium, const at::Tensor& map_tk, double seconds) {
  const int64_t tokens = map_tk.size(0);
  check_windows(medium, seconds);
  if (!medium.sound.empty()) check_length(medium, seconds);
  if (medium.windows.empty()) return {{0, tokens, 0, cells_of(seconds, *medium.geometry.time)}};
  std::vector<SoundPart> parts;
  for (size_t i = 0; i < medium.windows.size(); ++i) {
    const SoundWindow& window = medium.windows[i];
    SoundPart part;
    part.first_token = i == 0 ? 0 : std::min(window.first_token, tokens);
    part.end_token = i + 1 < medium.windows.size() ? std::min(medium.windows[i + 1].first_token, tokens) : tokens;
    if (part.tokens() <= 0) continue;
    part.start_seconds = window.start_seconds;
    const double heard = std::min(window.seconds, seconds - window.start_seconds);
    part.keys = std::clamp<int64_t>(cells_begun_before(heard, *medium.geometry.time), 0, map_tk.size(1));
    parts.push_back(part);
  }
  return parts;
}

at::Tensor heard_keys(const at::Tensor& rows_tk, const std::vector<SoundPart>& parts) {
  int64_t most = 1;
  for (const SoundPart& part : parts) most = std::max(most, part.keys);
  const bool all = std::all_of(parts.begin(), parts.end(), [&](const SoundPart& part) { return part.keys == most; });
  if (all && rows_tk.size(1) >= most) return rows_tk.narrow(1, 0, most);
  at::Tensor heard_tk = at::zeros({rows_tk.size(0), most}, rows_tk.options());
  for (const SoundPart& part : parts) {
    const int64_t keys = std::min(part.keys, rows_tk.size(1));
    heard_tk.narrow(0, part.first_token, part.tokens())
        .narrow(1, 0, keys)
        .copy_(rows_tk.narrow(0, part.first_token, part.tokens()).narrow(1, 0, keys));
  }
  return heard_tk;
}

at::Tensor lay_out(const at::Tensor& rows_tk, const std::vector<SoundPart>& parts, double seconds_per_key,
                   int64_t cells) {
  const bool as_it_is = parts.size() == 1 && parts[0].start_seconds == 0 && rows_tk.size(1) == cells;
  if (as_it_is) return rows_tk;
  at::Tensor rows_tc = at::zeros({rows_tk.size(0), cells}, rows_tk.options());
  const auto add = [&](int64_t first_token, int64_t tokens, int64_t at, double share) {
    const int64_t count = std::min(rows_tk.size(1), cells - at);
    if (share <= 0 || count <= 0) return;
    rows_tc.narrow(0, first_token, tokens)
        .narrow(1, at, count)
        .add_(rows_tk.narrow(0, first_token, tokens).narrow(1, 0, count), share);
  };
  for (const SoundPart& part : parts) {
    const int64_t tokens = std::min(part.end_token, rows_tk.size(0)) - part.first_token;
    if (tokens <= 0) continue;
    const double place = part.start_seconds / seconds_per_key;
    const double whole = std::floor(place + 1e-6);
    const double rest = std::max(0.0, place - whole);
    add(part.first_token, tokens, static_cast<int64_t>(whole), 1 - rest);
    add(part.first_token, tokens, static_cast<int64_t>(whole) + 1, rest);
  }
  return rows_tc;
}

}  // namespace gaze
