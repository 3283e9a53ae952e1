// SPDX-License-Identifier: MIT
// The ops' CPU kernels.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>

#include "ops_cpu.hpp"
#include "params.hpp"

namespace gaze::ops {
namespace {

/// Scratch memory of this thread. It only grows: a decode loop allocates in its first step.
void* workspace(std::size_t bytes) {
  thread_local std::unique_ptr<double[]> memory;
  thread_local std::size_t capacity = 0;
  const std::size_t needed = (bytes + sizeof(double) - 1) / sizeof(double);
  if (needed > capacity) {
    memory.reset();  // not both at once
    capacity = 0;
    memory.reset(new double[needed]);
    capacity = needed;
  }
  return memory.get();
}

/// Torch's threads; only the caller's where that is one of them already.
kernels::cpu::Parallel parallel() {
  const auto each = [](int64_t count, void (*work)(const void*, int64_t), const void* task) {
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) work(task, i);
    });
  };
  return {at::in_parallel_region() ? 1 : at::get_num_threads(), each};
}

void reduce_cpu(const at::Tensor& attn_bhqk, int64_t batch, int64_t first_query, int64_t queries, int64_t first_key,
                int64_t first_token, bool partial, at::IntArrayRef chosen_heads, int64_t heads, int64_t head, int64_t k,
                int64_t layers, at::Tensor& map_tc, at::Tensor& weight_t, at::Tensor& mass_t, at::Tensor& visible_t,
                at::Tensor& calls_t, at::Tensor& flags_t, at::Tensor& rows_t) {
  const auto params =
      reduce_params(attn_bhqk, {batch, first_query, queries, first_key, first_token, partial, chosen_heads},
                    {static_cast<HeadReduce>(heads), head, k, static_cast<LayerReduce>(layers)},
                    {map_tc, weight_t, mass_t, visible_t, calls_t, flags_t, rows_t});
  const kernels::cpu::Parallel threads = parallel();
  kernels::cpu::reduce(params, workspace(kernels::cpu::reduce_workspace(params, threads.threads)), threads);
}

at::Tensor attend_cpu(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                      bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                      int64_t first_query, int64_t queries) {
  const auto params =
      attend_params("attend", {q_bhqd, k_bhkd, mask, causal, scale, causal_offset}, {batch, first_query, queries});
  at::Tensor out_hqk = at::empty({params.heads, params.queries, params.keys}, q_bhqd.options().dtype(at::kFloat));
  const kernels::cpu::Parallel threads = parallel();
  kernels::cpu::attend(params, out_hqk.data_ptr<float>(),
                       workspace(kernels::cpu::attend_workspace(params, threads.threads)), threads);
  return out_hqk;
}

void attend_reduce_cpu(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                       bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                       int64_t first_query, int64_t queries, int64_t first_key, int64_t first_token,
                       at::IntArrayRef chosen_heads, int64_t heads, int64_t head, int64_t k, int64_t layers,
                       at::Tensor& map_tc, at::Tensor& weight_t, at::Tensor& mass_t, at::Tensor& visible_t,
                       at::Tensor& calls_t, at::Tensor& flags_t, at::Tensor& rows_t) {
  const auto params = attend_reduce_params({q_bhqd, k_bhkd, mask, causal, scale, causal_offset},
                                           {batch, first_query, queries, first_key, first_token, false, chosen_heads},
                                           {static_cast<HeadReduce>(heads), head, k, static_cast<LayerReduce>(layers)},
                                           {map_tc, weight_t, mass_t, visible_t, calls_t, flags_t, rows_t});
  const kernels::cpu::Parallel threads = parallel();
  kernels::cpu::attend_reduce(params, workspace(kernels::cpu::attend_reduce_workspace(params, threads.threads)),
                              threads);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> normalise_cpu(
    const at::Tensor& map_tc, const at::Tensor& visible_t, bool subtract_sinks, double percentile,
    bool per_map_min_max) {
  const NormaliseCall call = normalise_call(map_tc, visible_t, {subtract_sinks, percentile, per_map_min_max});
  kernels::cpu::normalise(call.params, workspace(kernels::cpu::normalise_workspace(call.params)));
  const Normalised& out = call.out;
  return {out.lift_tc, out.shown_tc, out.value_tc, out.max_lift_t, out.entropy_t, out.diffuse_t, out.range_max};
}

at::Tensor resample_cpu(const at::Tensor& map_yx, double scale_x, double offset_x, double scale_y, double offset_y,
                        int64_t height, int64_t width, bool exact) {
  const ResampleCall call = resample_call(map_yx, {scale_x, offset_x, scale_y, offset_y}, height, width,
                                          exact ? Interpolation::Exact : Interpolation::Bilinear);
  kernels::cpu::resample(call.params);
  return call.out_yx;
}

at::Tensor colour_cpu(const at::Tensor& value, int64_t colormap) {
  const ColourCall call = colour_call(value, static_cast<Colormap>(colormap));
  kernels::cpu::colour(call.params);
  return call.out_rgb;
}

at::Tensor blend_cpu(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                     double alpha_max, double alpha_start) {
  const BlendCall call = blend_call(rgb_hwc, colour_hwc, value_yx, {alpha_max, alpha_start});
  kernels::cpu::blend(call.params);
  return call.out_hwc;
}

void contour_cpu(at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels) {
  const ContourCall call = contour_call(rgb_hwc, inside_yx, width_pixels);
  kernels::cpu::contour(call.params, workspace(kernels::cpu::contour_workspace(call.params)));
}

/// Smaller pictures cost less than threads do.
constexpr int64_t kPixelsPerThread = 1 << 16;

template <typename Draw>
void each_rows(int64_t height, int64_t width, const Draw& draw) {
  at::parallel_for(0, height, std::max<int64_t>(1, kPixelsPerThread / width), draw);
}

void overlay_cpu(const at::Tensor& rgb_hwc, const at::Tensor& value_yx, const std::optional<at::Tensor>& inside_yx,
                 double scale_x, double offset_x, double scale_y, double offset_y, bool exact, int64_t colormap,
                 double alpha_max, double alpha_start, int64_t contour_pixels, int64_t border_pixels,
                 at::Tensor& out_hwc) {
  const OverlayOptions options{exact ? Interpolation::Exact : Interpolation::Bilinear,
                               static_cast<Colormap>(colormap),
                               {alpha_max, alpha_start},
                               contour_pixels,
                               border_pixels};
  const auto params =
      overlay_params(rgb_hwc, value_yx, inside_yx, {scale_x, offset_x, scale_y, offset_y}, options, out_hwc);
  const std::size_t bytes = kernels::cpu::overlay_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::overlay(params, first, end, workspace(bytes)); });
}

at::Tensor envelope_cpu(const at::Tensor& samples_ct, double first, double per_column, int64_t columns) {
  const EnvelopeCall call = envelope_call(samples_ct, {first, per_column, columns});
  kernels::cpu::envelope(call.params, parallel());
  return call.out_ckw;
}

void draw_waveform_cpu(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc) {
  const auto params = waveform_params(envelope_ckw, full_scale, out_hwc);
  const std::size_t bytes = kernels::cpu::draw_waveform_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::draw_waveform(params, first, end, workspace(bytes)); });
}

void draw_spectrogram_cpu(const at::Tensor& mel_mt, double first_frame, double per_column, int64_t columns,
                          at::Tensor& out_hwc) {
  const auto params = spectrogram_params(mel_mt, {first_frame, per_column, columns}, out_hwc);
  const std::size_t bytes = kernels::cpu::draw_spectrogram_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::draw_spectrogram(params, first, end, workspace(bytes)); });
}

}  // namespace

void implement_cpu(torch::Library& m) {
  m.impl("reduce_", reduce_cpu);
  m.impl("attend", attend_cpu);
  m.impl("attend_reduce_", attend_reduce_cpu);
  m.impl("normalise", normalise_cpu);
  m.impl("resample", resample_cpu);
  m.impl("colour", colour_cpu);
  m.impl("blend", blend_cpu);
  m.impl("contour_", contour_cpu);
  m.impl("overlay_out", overlay_cpu);
  m.impl("envelope", envelope_cpu);
  m.impl("draw_waveform_out", draw_waveform_cpu);
  m.impl("draw_spectrogram_out", draw_spectrogram_cpu);
}

}  // namespace gaze::ops
