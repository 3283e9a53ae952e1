// SPDX-License-Identifier: MIT
#include "sound/sound_plots.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <gaze/ops/overlay.hpp>
#include <gaze/ops/sound.hpp>

#include <algorithm>
#include <cmath>

#include "device/device_event.hpp"
#include "maps/map_painter.hpp"

namespace gaze {
namespace {

constexpr double kRangeDb = 60;     // below, rooms and microphones make their noise
constexpr double kHeadroom = 1.06;  // the loudest sample keeps a little away from the edge

double peak_of(const at::Tensor& envelope_ckw, const ops::Route& route) {
  const at::Tensor peak = envelope_ckw.narrow(1, 0, 2).abs().amax().to(at::kDouble).view({1});
  const double value = *fetch(peak, route, ops::Cargo::Figures).const_data_ptr<double>();
  if (!std::isfinite(value)) {
    throw Error("sound: expected finite samples, got NaN or infinity. Check what fills the buffer.",
                DropReason::DecodeFailed);
  }
  return value;
}

// [channels, 3, rows x width] -> [channels, 3, width], each column what lies under as many as there are rows.
at::Tensor in_one_row(const at::Tensor& envelope_ckw, int64_t rows) {
  if (rows == 1) return envelope_ckw;
  const at::Tensor envelope_ckwr = envelope_ckw.view({envelope_ckw.size(0), 3, -1, rows});
  return at::stack({envelope_ckwr.select(1, 0).amin(-1), envelope_ckwr.select(1, 1).amax(-1),
                    envelope_ckwr.select(1, 2).square().mean(-1).sqrt()},
                   1);
}

void draw_base(const Recording& recording, const at::Tensor& envelope_ckw, SoundPlots& plots) {
  const SoundLayout& layout = plots.layout;
  plots.base_hwc = at::full({layout.height(), layout.width, 3}, 255, envelope_ckw.options().dtype(at::kByte));
  plots.mel.range_db = kRangeDb;
  plots.mel.window_seconds = std::min(
      plots.mel.window_seconds, static_cast<double>(ops::kMostWindow) / static_cast<double>(recording.sample_rate_hz));
  const at::Tensor mel_mt = ops::log_mel(recording.samples_ct, recording.sample_rate_hz, plots.mel);
  // A hop is whole samples, which adds up over an hour.
  const auto rate = static_cast<double>(recording.sample_rate_hz);
  const double hop_seconds = std::max(1.0, std::round(plots.mel.hop_seconds * rate)) / rate;
  for (int64_t row = 0; row < layout.rows; ++row) {
    const int64_t top = row * layout.row_height();
    at::Tensor wave_hwc = plots.base_hwc.narrow(0, top, layout.wave_height);
    ops::draw_waveform_out(envelope_ckw.narrow(2, row * layout.width, layout.width).contiguous(), plots.full_scale,
                           wave_hwc);
    at::Tensor mel_hwc = plots.base_hwc.narrow(0, top + layout.wave_height + layout.gap, layout.mel_height);
    ops::draw_spectrogram_out(
        mel_mt, {layout.row_start(row) / hop_seconds, layout.seconds_per_pixel() / hop_seconds, layout.width}, mel_hwc);
  }
}

// As many cells as a pixel holds become one, or a narrow peak would fall between two pixels.
SoundMapView coarser(const SoundMapView& map, double seconds_per_pixel) {
  const auto together = static_cast<int64_t>(std::ceil(seconds_per_pixel / map.seconds_per_cell));
  if (together <= 1) return map;
  const int64_t cells = map.value_c.size(0);
  const int64_t groups = (cells + together - 1) / together;
  SoundMapView coarse = map;
  coarse.value_c = at::constant_pad_nd(map.value_c, {0, groups * together - cells}).view({groups, together}).amax(1);
  coarse.seconds_per_cell *= static_cast<double>(together);
  return coarse;
}

void tint(const at::Tensor& base_hwc, const SoundMapView& map, double start_seconds, double seconds_per_pixel,
          const Style& style, at::Tensor& out_hwc) {
  ops::CellAffine place;
  place.scale_x = seconds_per_pixel / map.seconds_per_cell;
  place.offset_x = (start_seconds - map.first_seconds) / map.seconds_per_cell;
  place.scale_y = 1 / static_cast<double>(base_hwc.size(0));
  ops::OverlayOptions options{style.interpolation, style.colormap, style.blend};
  options.most_sms = kDrawingSms;
  ops::overlay_out(base_hwc, map.value_c.view({1, -1}), std::nullopt, place, options, out_hwc);
}

// The stamp's size follows the width it is given.
void stamp(at::Tensor out_hwc, int64_t height) {
  at::Tensor corner_hwc = out_hwc.narrow(0, 0, height).narrow(1, 0, std::min<int64_t>(out_hwc.size(1), 600));
  stamp_diffuse(corner_hwc);
}

}  // namespace

SoundPlots make_sound_plots(const Recording& recording, const ops::Route& route) {
  SoundPlots plots;
  plots.layout = lay_out_sound(recording.seconds(), recording.samples_ct.size(0));
  const SoundLayout& layout = plots.layout;
  const at::Tensor samples_ct =
      recording.samples_ct.size(0) > 2 ? recording.samples_ct.mean(0, true) : recording.samples_ct;
  const ops::Columns columns{0, layout.seconds_per_pixel() * static_cast<double>(recording.sample_rate_hz),
                             layout.rows * layout.width};
  const at::Tensor envelope_ckw = ops::envelope(samples_ct, columns);
  const double peak = peak_of(envelope_ckw, route);
  plots.full_scale = peak > 0 ? peak * kHeadroom : 1;
  draw_base(recording, envelope_ckw, plots);
  plots.strip_hwc = at::empty({SoundPlots::kStripHeight, layout.width, 3}, plots.base_hwc.options());
  ops::draw_waveform_out(in_one_row(envelope_ckw, layout.rows).contiguous(), plots.full_scale, plots.strip_hwc);
  return plots;
}

void paint_sound(const SoundPlots& plots, const RowSpan& rows, const SoundMapView& map, const Style& style,
                 at::Tensor& out_hwc) {
  const SoundLayout& layout = plots.layout;
  const int64_t height = layout.row_height();
  if (map.diffuse) {
    out_hwc.copy_(plots.base_hwc.narrow(0, rows.first * height, rows.count() * height));
    return stamp(out_hwc, height);
  }
  const SoundMapView coarse = coarser(map, layout.seconds_per_pixel());
  for (int64_t row = rows.first; row < rows.end; ++row) {
    at::Tensor row_hwc = out_hwc.narrow(0, (row - rows.first) * height, height);
    tint(plots.base_hwc.narrow(0, row * height, height), coarse, layout.row_start(row), layout.seconds_per_pixel(),
         style, row_hwc);
  }
}

void paint_sound_strip(const SoundPlots& plots, const SoundMapView& map, const Style& style, at::Tensor& out_hwc) {
  if (map.diffuse) {
    out_hwc.copy_(plots.strip_hwc);
    return stamp(out_hwc, SoundPlots::kStripHeight);
  }
  const double seconds_per_pixel = plots.layout.seconds_per_pixel() * static_cast<double>(plots.layout.rows);
  tint(plots.strip_hwc, coarser(map, seconds_per_pixel), 0, seconds_per_pixel, style, out_hwc);
}

}  // namespace gaze
