// SPDX-License-Identifier: MIT
// From checked tensors to kernel parameters. Every backend's kernels start here, so each route into an op is checked.
#pragma once

#include <gaze/ops/attend.hpp>
#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/normalise.hpp>
#include <gaze/ops/overlay.hpp>
#include <gaze/ops/reduce.hpp>
#include <gaze/ops/resample.hpp>
#include <gaze/ops/sound.hpp>

#include <tuple>

#include "kernels.hpp"

namespace gaze::ops {

/// Signatures of the ops, flattened as in their schemas; the backends' kernels and the typed entries share them.
using ReduceFn = void(const at::Tensor& attn_bhqk, int64_t batch, int64_t first_query, int64_t queries,
                      int64_t first_key, int64_t first_token, bool partial, at::IntArrayRef chosen_heads, int64_t heads,
                      int64_t head, int64_t k, int64_t layers, at::Tensor& map_tc, at::Tensor& weight_t,
                      at::Tensor& mass_t, at::Tensor& visible_t, at::Tensor& calls_t, at::Tensor& flags_t,
                      at::Tensor& rows_t);
using AttendFn = at::Tensor(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                            bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                            int64_t first_query, int64_t queries);
using AttendReduceFn = void(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                            bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                            int64_t first_query, int64_t queries, int64_t first_key, int64_t first_token,
                            at::IntArrayRef chosen_heads, int64_t heads, int64_t head, int64_t k, int64_t layers,
                            at::Tensor& map_tc, at::Tensor& weight_t, at::Tensor& mass_t, at::Tensor& visible_t,
                            at::Tensor& calls_t, at::Tensor& flags_t, at::Tensor& rows_t);
using NormaliseFn = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& map_tc, const at::Tensor& visible_t, bool subtract_sinks, double percentile,
    bool per_map_min_max);
using ResampleFn = at::Tensor(const at::Tensor& map_yx, double scale_x, double offset_x, double scale_y,
                              double offset_y, int64_t height, int64_t width, bool exact);
using ColourFn = at::Tensor(const at::Tensor& value, int64_t colormap);
using BlendFn = at::Tensor(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                           double alpha_max, double alpha_start);
using ContourFn = void(at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels);
using OverlayFn = void(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                       const std::optional<at::Tensor>& inside_yx, double scale_x, double offset_x, double scale_y,
                       double offset_y, bool exact, int64_t colormap, double alpha_max, double alpha_start,
                       int64_t contour_pixels, int64_t border_pixels, at::Tensor& out_hwc);
using EnvelopeFn = at::Tensor(const at::Tensor& samples_ct, double first, double per_column, int64_t columns);
using DrawWaveformFn = void(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc);
using DrawSpectrogramFn = void(const at::Tensor& mel_mt, double first, double per_column, int64_t columns,
                               at::Tensor& out_hwc);

/// Fewer tokens have no mean worth subtracting.
constexpr int64_t kTokensForSinks = 4;

GAZE_API kernels::ReduceParams reduce_params(const at::Tensor& attn_bhqk, const Window& window,
                                             const ReduceOptions& options, const Accumulator& accumulator);
GAZE_API kernels::AttendParams attend_params(const char* op, const Scores& scores, const Window& window);
GAZE_API kernels::AttendReduceParams attend_reduce_params(const Scores& scores, const Window& window,
                                                          const ReduceOptions& options, const Accumulator& accumulator);
GAZE_API kernels::OverlayParams overlay_params(const at::Tensor& rgb_hwc, const at::Tensor& value_yx,
                                               const std::optional<at::Tensor>& inside_yx, const CellAffine& place,
                                               const OverlayOptions& options, const at::Tensor& out_hwc);

GAZE_API kernels::WaveformParams waveform_params(const at::Tensor& envelope_ckw, double full_scale,
                                                 const at::Tensor& out_hwc);
GAZE_API kernels::SpectrogramParams spectrogram_params(const at::Tensor& mel_mt, const Columns& columns,
                                                       const at::Tensor& out_hwc);

/// Ops that make their results: inputs are contiguous, outputs allocated; both must outlive the parameters.
struct NormaliseCall {
  at::Tensor map_tc, visible_t;
  Normalised out;
  kernels::NormaliseParams params;
};
GAZE_API NormaliseCall normalise_call(const at::Tensor& map_tc, const at::Tensor& visible_t,
                                      const NormaliseOptions& options);

struct ResampleCall {
  at::Tensor out_yx;
  kernels::ResampleParams params;
};
GAZE_API ResampleCall resample_call(const at::Tensor& map_yx, const CellAffine& place, int64_t height, int64_t width,
                                    Interpolation interpolation);

struct ColourCall {
  at::Tensor value, out_rgb;
  kernels::ColourParams params;
};
GAZE_API ColourCall colour_call(const at::Tensor& value, Colormap colormap);

struct BlendCall {
  at::Tensor rgb_hwc, colour_hwc, value_yx, out_hwc;
  kernels::BlendParams params;
};
GAZE_API BlendCall blend_call(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                              const BlendOptions& options);

struct ContourCall {
  at::Tensor inside_yx;
  kernels::ContourParams params;
};
GAZE_API ContourCall contour_call(const at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels);

struct EnvelopeCall {
  at::Tensor out_ckw;
  kernels::EnvelopeParams params;
};
GAZE_API EnvelopeCall envelope_call(const at::Tensor& samples_ct, const Columns& columns);

}  // namespace gaze::ops
