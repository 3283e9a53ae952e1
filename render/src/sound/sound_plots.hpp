// SPDX-License-Identifier: MIT
// The plots of a recording, and maps over them: waveform and spectrogram in rows of time, drawn where the samples are.
#pragma once

#include <gaze/ops/sound.hpp>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/sound.hpp>
#include <gaze/render/style.hpp>

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
  [[nodiscard]] RowSpan rows_between(double start_seconds, double end_seconds) const;
  /// Pixels of a row that are the recording's; 1..width.
  [[nodiscard]] int64_t end_pixel(int64_t row) const;
};
SoundLayout lay_out_sound(double seconds, int64_t channels);

/// Without a tint; drawn once for all maps.
struct SoundPlots {
  static constexpr int64_t kStripHeight = 44;

  SoundLayout layout;
  double full_scale = 1;   ///< sample value at the edge of a waveform
  ops::LogMelOptions mel;  ///< of the spectrogram
  at::Tensor base_hwc;     ///< uint8 [layout.height(), layout.width, 3]
  at::Tensor strip_hwc;    ///< uint8 [kStripHeight, layout.width, 3]: the waveforms of all rows in one
};

/// Draws on the samples' device. One figure comes back (8 bytes), and the filters go up (ops::log_mel).
/// @throws gaze::Error (DecodeFailed) when a sample is not finite
SoundPlots make_sound_plots(const Recording& recording, const ops::Route& route);

/// A map over time. Cell i lies at first_seconds + i x seconds_per_cell, from the start of the recording.
struct SoundMapView {
  at::Tensor value_c;  ///< float32 [cells], 0..1, contiguous
  bool diffuse = false;
  double first_seconds = 0, seconds_per_cell = 0;
};

/// Tints the plots, all of a pixel's column alike; "DIFFUSE" instead where the map is. Where a pixel holds several
/// cells it shows the highest.
/// @param out_hwc  uint8 as these rows of base_hwc, contiguous
void paint_sound(const SoundPlots& plots, const RowSpan& rows, const SoundMapView& map, const Style& style,
                 at::Tensor& out_hwc);

/// As above, over strip_hwc.
void paint_sound_strip(const SoundPlots& plots, const SoundMapView& map, const Style& style, at::Tensor& out_hwc);

}  // namespace gaze
