// SPDX-License-Identifier: MIT
// The plots of a recording, and maps over them: waveform and spectrogram in rows of time, drawn where the samples are.
#pragma once

#include <gaze/ops/sound.hpp>
#include <gaze/ops/transfer.hpp>
#include <gaze/render/sound.hpp>
#include <gaze/render/style.hpp>

#include "sound/sound_layout.hpp"

namespace gaze {

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
