// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/ops/sound.hpp>

#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "picture_checks.hpp"
#include "quiet.hpp"

namespace gaze::ops {
namespace {

void check_columns(const char* op, const Columns& columns) {
  GAZE_CHECK(std::isfinite(columns.first), op, "columns.first", "a finite number, got ", columns.first);
  GAZE_CHECK(std::isfinite(columns.per_column) && columns.per_column > 0, op, "columns.per_column",
             "a finite number above 0, got ", columns.per_column);
  GAZE_CHECK(columns.count >= 0 && columns.count <= kMostPixels, op, "columns.count", "0..", kMostPixels, ", got ",
             columns.count);
}

/// A plot that is drawn all over.
void check_plot(const char* op, const at::Tensor& out_hwc, at::Device device) {
  check_like(op, "out_hwc", out_hwc, at::kByte, device);
  GAZE_CHECK(out_hwc.dim() == 3 && out_hwc.size(2) == 3 && out_hwc.numel() > 0, op, "out_hwc",
             "[height, width, 3] with at least one pixel, got ", out_hwc.sizes());
  GAZE_CHECK(out_hwc.is_contiguous(), op, "out_hwc", "a contiguous tensor, got strides ", out_hwc.strides());
  GAZE_CHECK(out_hwc.size(0) <= kMostPixels && out_hwc.size(1) <= kMostPixels, op, "out_hwc", "at most ", kMostPixels,
             " pixels a side, got ", out_hwc.sizes());
}

kernels::WaveformParams waveform_params(const at::Tensor& envelope_ckw, double full_scale, const at::Tensor& out_hwc) {
  constexpr const char* op = "draw_waveform";
  check_like(op, "envelope_ckw", envelope_ckw, at::kFloat,
             envelope_ckw.defined() ? envelope_ckw.device() : at::Device(at::kCPU));
  check_plot(op, out_hwc, envelope_ckw.device());
  const int64_t height = out_hwc.size(0), width = out_hwc.size(1);
  GAZE_CHECK(envelope_ckw.dim() == 3 && envelope_ckw.size(0) >= 1 && envelope_ckw.size(1) == 3 &&
                 envelope_ckw.size(2) == width,
             op, "envelope_ckw", "[channels, 3, ", width, "] with at least one channel, got ", envelope_ckw.sizes());
  GAZE_CHECK(envelope_ckw.is_contiguous(), op, "envelope_ckw", "a contiguous tensor, got strides ",
             envelope_ckw.strides());
  GAZE_CHECK(height >= envelope_ckw.size(0), op, "out_hwc", "at least one row for each of ", envelope_ckw.size(0),
             " channels, got ", out_hwc.sizes());
  GAZE_CHECK(std::isfinite(full_scale) && full_scale > 0, op, "full_scale", "a finite number above 0, got ",
             full_scale);
  return {envelope_ckw.const_data_ptr<float>(), envelope_ckw.size(0), height, width, full_scale,
          out_hwc.mutable_data_ptr<uint8_t>()};
}

kernels::SpectrogramParams spectrogram_params(const at::Tensor& mel_mt, const Columns& columns,
                                              const at::Tensor& out_hwc) {
  constexpr const char* op = "draw_spectrogram";
  check_like(op, "mel_mt", mel_mt, at::kFloat, mel_mt.defined() ? mel_mt.device() : at::Device(at::kCPU));
  GAZE_CHECK(mel_mt.dim() == 2 && mel_mt.numel() > 0, op, "mel_mt", "[mels, frames] with at least one of each, got ",
             mel_mt.sizes());
  GAZE_CHECK(mel_mt.is_contiguous(), op, "mel_mt", "a contiguous tensor, got strides ", mel_mt.strides());
  check_plot(op, out_hwc, mel_mt.device());
  check_columns(op, columns);
  GAZE_CHECK(columns.count == out_hwc.size(1), op, "columns.count", "the ", out_hwc.size(1),
             " pixel columns of out_hwc, got ", columns.count);
  return {mel_mt.const_data_ptr<float>(),
          mel_mt.size(0),
          mel_mt.size(1),
          columns.first,
          columns.per_column,
          out_hwc.size(0),
          out_hwc.size(1),
          out_hwc.mutable_data_ptr<uint8_t>()};
}

}  // namespace

at::Tensor envelope(const at::Tensor& samples_ct, const Columns& columns) {
  constexpr const char* op = "envelope";
  check_like(op, "samples_ct", samples_ct, at::kFloat,
             samples_ct.defined() ? samples_ct.device() : at::Device(at::kCPU));
  GAZE_CHECK(samples_ct.dim() == 2 && samples_ct.numel() > 0, op, "samples_ct",
             "[channels, samples] with at least one sample, got ", samples_ct.sizes());
  GAZE_CHECK(samples_ct.is_contiguous(), op, "samples_ct", "a contiguous tensor, got strides ", samples_ct.strides());
  check_columns(op, columns);
  const int64_t channels = samples_ct.size(0);
  GAZE_CHECK(channels <= kMostPixels / std::max<int64_t>(columns.count, 1), op, "columns.count", "at most ",
             kMostPixels, " columns of all channels, got ", columns.count, " of each of ", channels);
  const Quiet quiet;
  at::Tensor out_ckw = at::empty({channels, 3, columns.count}, samples_ct.options());
  kernels_for(samples_ct)
      .envelope({samples_ct.const_data_ptr<float>(), channels, samples_ct.size(1), columns.first, columns.per_column,
                 columns.count, out_ckw.data_ptr<float>()},
                samples_ct.get_device());
  return out_ckw;
}

void draw_waveform_out(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc) {
  const auto params = waveform_params(envelope_ckw, full_scale, out_hwc);
  kernels_for(envelope_ckw).draw_waveform(params, envelope_ckw.get_device());
}

void draw_spectrogram_out(const at::Tensor& mel_mt, const Columns& columns, at::Tensor& out_hwc) {
  const auto params = spectrogram_params(mel_mt, columns, out_hwc);
  kernels_for(mel_mt).draw_spectrogram(params, mel_mt.get_device());
}

}  // namespace gaze::ops
