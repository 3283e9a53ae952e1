// SPDX-License-Identifier: MIT
// A recording as pixels: envelope, log-mel spectrogram, and the plots of both.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

namespace gaze::ops {

/// Which samples lie under which column: column c covers samples [first + c * per_column, first + (c + 1) * per_column)
/// rounded down (a place less than 1e-6 short of a whole number counts as it), and at least one.
struct Columns {
  double first = 0;       ///< sample at the left edge of column 0; may lie before the recording
  double per_column = 1;  ///< samples per column, > 0
  int64_t count = 0;
};

/// Minimum, maximum and root mean square of every column's samples: no peak is lost, however long the recording.
/// @param samples_ct  float32 [channels, samples], contiguous, at least one sample
/// @return float32 [channels, 3, columns]: min, max, rms; 0, 0, 0 where a column holds no sample. A sample that is not
/// finite makes all three of its column NaN. On the same device, asynchronous on the current stream. Cost: one read of
/// the samples.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API at::Tensor envelope(const at::Tensor& samples_ct, const Columns& columns);

/// Samples: a transform of many more, of a prime number of them, would take seconds.
inline constexpr int64_t kMostWindow = 1 << 14;

struct LogMelOptions {
  double window_seconds = 0.025;  ///< Hann; at most kMostWindow samples
  double hop_seconds = 0.010;     ///< frame t is centred at t x hop
  int64_t mels = 80;
  double low_hz = 0, high_hz = 8000;  ///< the upper end is half the sample rate where that is lower
  double range_db = 80;               ///< below the loudest
};

/// Log-mel spectrogram of the mean over channels, by the short-time Fourier transform (on CUDA at::stft) and triangular
/// filters on O'Shaughnessy's mel scale (mel = 2595 log10(1 + f / 700), D. O'Shaughnessy, Speech Communication, 1987),
/// each scaled to a sum of 1; one that is narrower than a bin takes the nearest. Window and hop are whole samples, at
/// least one; zeros lie around the recording. Needs memory for some 4 million windowed samples, however long the
/// recording.
/// @param samples_ct  float32 [channels, samples], at least one sample; one that is not finite makes all values NaN
/// @return float32 [mels, frames]: 0 (range_db below the loudest, or silence) .. 1 (the loudest); frames =
/// floor(samples / hop) + 1. On the same device, asynchronous but for the filters, which go up as Cargo::Table.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API at::Tensor log_mel(const at::Tensor& samples_ct, int64_t sample_rate_hz, const LogMelOptions& options = {});

/// Where a frequency lies among the bands of `log_mel`: i at the centre of band i, between two centres in between.
/// Below 0 or above mels - 1 outside.
GAZE_API double mel_band(double hz, int64_t sample_rate_hz, const LogMelOptions& options) noexcept;

/// Paper and ink of the plots: light enough for a tint to be seen, the same on every device.
/// @param envelope_ckw  of `envelope`, one column per pixel
/// @param full_scale    the sample value at the edge of a channel's strip, > 0; what lies beyond is drawn at the edge
/// @param out_hwc       uint8 [height, width, 3], contiguous, at least a row per channel: channels one below the other,
/// a small gap between them, each with its zero line, its range from minimum to maximum (joined to that of the column
/// before), and the range within +- rms darker. A column of NaN is paper.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void draw_waveform_out(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc);

/// Low frequencies at the bottom; each pixel shows the loudest of the frames under it, between frames the nearest.
/// @param mel_mt   of `log_mel`, contiguous; NaN is paper. A row shows the loudest of its bands
/// @param columns  in frames, one column per pixel: frame t is the point t. Paper where there is none
/// @param out_hwc  uint8 [height, width, 3], contiguous: 0 is paper, 1 ink
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void draw_spectrogram_out(const at::Tensor& mel_mt, const Columns& columns, at::Tensor& out_hwc);

}  // namespace gaze::ops
