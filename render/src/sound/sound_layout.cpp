// SPDX-License-Identifier: MIT
#include "sound/sound_layout.hpp"

#include <algorithm>
#include <cmath>

namespace gaze {
namespace {

constexpr double kMostSecondsPerRow = 30;
constexpr int64_t kMostRows = 11;

}  // namespace

int64_t SoundLayout::end_pixel(int64_t row) const {
  return std::clamp<int64_t>(std::llround((seconds - row_start(row)) / seconds_per_pixel()), 1, width);
}

RowSpan SoundLayout::rows_between(double start_seconds, double end_seconds) const {
  const auto first = static_cast<int64_t>(std::floor(start_seconds / seconds_per_row + 1e-9));
  const auto end = static_cast<int64_t>(std::ceil(end_seconds / seconds_per_row - 1e-9));
  RowSpan span{std::clamp<int64_t>(first, 0, rows - 1), 0};
  span.end = std::clamp<int64_t>(end, span.first + 1, rows);
  return span;
}

SoundLayout lay_out_sound(double seconds, int64_t channels) {
  SoundLayout layout;
  layout.seconds = seconds;
  layout.strips = channels == 2 ? 2 : 1;
  const auto wanted = static_cast<int64_t>(std::ceil(seconds / kMostSecondsPerRow - 1e-9));
  if (wanted <= 1) {
    layout.seconds_per_row = seconds;
  } else {
    layout.seconds_per_row = std::ceil(seconds / static_cast<double>(std::min(wanted, kMostRows)));
    layout.rows = static_cast<int64_t>(std::ceil(seconds / layout.seconds_per_row));
  }
  const bool alone = layout.rows == 1;
  layout.wave_height = layout.strips == 2 ? (alone ? 240 : 140) : (alone ? 190 : 110);
  layout.mel_height = alone ? 180 : 100;
  return layout;
}

}  // namespace gaze
