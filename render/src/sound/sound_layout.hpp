// SPDX-License-Identifier: MIT
// Where the plots of a recording lie on a page.
#pragma once

#include <cstdint>

#include "base/for_parts.hpp"

namespace gaze {

/// Rows [first, end) of a layout.
struct RowSpan {
  int64_t first = 0, end = 0;
  [[nodiscard]] int64_t count() const { return end - first; }
};

/// Rows of time, all as long, one below the other without space between. Up to 30 s are one row as long as the
/// recording; longer ones are divided into rows of whole seconds, at most 11, so that a page stays below 4000 pixels.
struct SoundLayout {
  int64_t width = 1500;  ///< pixels of a row
  int64_t rows = 1;
  int64_t strips = 1;  ///< waveforms one below the other: two channels have one each; more are drawn as their mean
  int64_t wave_height = 0, gap = 2, mel_height = 0;  ///< pixels of a row: waveforms, space, spectrogram
  double seconds = 0;                                ///< of the recording
  double seconds_per_row = 0;

  [[nodiscard]] int64_t row_height() const { return wave_height + gap + mel_height; }
  [[nodiscard]] int64_t height() const { return rows * row_height(); }
  [[nodiscard]] double seconds_per_pixel() const { return seconds_per_row / static_cast<double>(width); }
  [[nodiscard]] double row_start(int64_t row) const { return static_cast<double>(row) * seconds_per_row; }
  [[nodiscard]] RowSpan all_rows() const { return {0, rows}; }
  /// At least one.
  [[nodiscard]] GAZE_FOR_PARTS RowSpan rows_between(double start_seconds, double end_seconds) const;
  /// Pixels of a row that are the recording's; 1..width.
  [[nodiscard]] GAZE_FOR_PARTS int64_t end_pixel(int64_t row) const;
};
GAZE_FOR_PARTS SoundLayout lay_out_sound(double seconds, int64_t channels);

}  // namespace gaze
