// SPDX-License-Identifier: MIT
// The ops' CUDA kernels: libgaze_cuda.so. Everything runs on the current stream of the tensors' device.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <torch/library.h>
#include <gaze/ops/device.hpp>

#include "cuda_part.hpp"
#include "params.hpp"
#include "scratch.hpp"

namespace gaze::ops {
namespace {

/// Guard and stream of one call.
struct On {
  explicit On(c10::DeviceIndex device) : guard(device), stream(c10::cuda::getCurrentCUDAStream(device)) {}
  explicit On(const at::Tensor& x) : On(x.get_device()) {}
  operator kernels::cuda::Stream() const { return stream.stream(); }
  const c10::cuda::CUDAGuard guard;
  const c10::cuda::CUDAStream stream;
};

void check_launch(const char* op, int error) {
  if (error == cudaSuccess) return;
  throw LaunchError(
      {__func__, __FILE__, __LINE__},
      c10::str("gaze::", op, ": expected the kernel to start, got ", cudaGetErrorName(static_cast<cudaError_t>(error)),
               ": ", cudaGetErrorString(static_cast<cudaError_t>(error)),
               error == cudaErrorNoKernelImageForDevice
                   ? ". libgaze_cuda.so has no code for this GPU: build with -DGAZE_CUDA_ARCHITECTURES=native."
                   : "."));
}

void reduce_cuda(const at::Tensor& attn_bhqk, int64_t batch, int64_t first_query, int64_t queries, int64_t first_key,
                 int64_t first_token, bool partial, at::IntArrayRef chosen_heads, int64_t heads, int64_t head,
                 int64_t k, int64_t layers, at::Tensor& map_tc, at::Tensor& weight_t, at::Tensor& mass_t,
                 at::Tensor& visible_t, at::Tensor& calls_t, at::Tensor& flags_t, at::Tensor& rows_t) {
  const auto params =
      reduce_params(attn_bhqk, {batch, first_query, queries, first_key, first_token, partial, chosen_heads},
                    {static_cast<HeadReduce>(heads), head, k, static_cast<LayerReduce>(layers)},
                    {map_tc, weight_t, mass_t, visible_t, calls_t, flags_t, rows_t});
  const On on(attn_bhqk);
  const Scratch scratch(on.stream, kernels::cuda::reduce_workspace(params));
  check_launch("reduce", kernels::cuda::reduce(params, scratch.data(), on));
}

at::Tensor attend_cuda(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                       bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                       int64_t first_query, int64_t queries) {
  const auto params =
      attend_params("attend", {q_bhqd, k_bhkd, mask, causal, scale, causal_offset}, {batch, first_query, queries});
  const On on(q_bhqd);
  at::Tensor out_hqk = at::empty({params.heads, params.queries, params.keys}, q_bhqd.options().dtype(at::kFloat));
  const Scratch scratch(on.stream, kernels::cuda::attend_workspace(params));
  check_launch("attend", kernels::cuda::attend(params, out_hqk.data_ptr<float>(), scratch.data(), on));
  return out_hqk;
}

void attend_reduce_calls(c10::DeviceIndex device, const kernels::AttendReduceParams* calls, int count) {
  const On on(device);
  const Scratch scratch(on.stream, kernels::cuda::attend_reduce_workspace(calls, count));
  check_launch("attend_reduce", kernels::cuda::attend_reduce(calls, count, scratch.data(), on));
}

void attend_reduce_cuda(const at::Tensor& q_bhqd, const at::Tensor& k_bhkd, const std::optional<at::Tensor>& mask,
                        bool causal, std::optional<double> scale, int64_t causal_offset, int64_t batch,
                        int64_t first_query, int64_t queries, int64_t first_key, int64_t first_token,
                        at::IntArrayRef chosen_heads, int64_t heads, int64_t head, int64_t k, int64_t layers,
                        at::Tensor& map_tc, at::Tensor& weight_t, at::Tensor& mass_t, at::Tensor& visible_t,
                        at::Tensor& calls_t, at::Tensor& flags_t, at::Tensor& rows_t) {
  const auto params = attend_reduce_params({q_bhqd, k_bhkd, mask, causal, scale, causal_offset},
                                           {batch, first_query, queries, first_key, first_token, false, chosen_heads},
                                           {static_cast<HeadReduce>(heads), head, k, static_cast<LayerReduce>(layers)},
                                           {map_tc, weight_t, mass_t, visible_t, calls_t, flags_t, rows_t});
  attend_reduce_calls(q_bhqd.get_device(), &params, 1);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> normalise_cuda(
    const at::Tensor& map_tc, const at::Tensor& visible_t, bool subtract_sinks, double percentile,
    bool per_map_min_max) {
  const On on(map_tc);
  const NormaliseCall call = normalise_call(map_tc, visible_t, {subtract_sinks, percentile, per_map_min_max});
  check_launch("normalise", kernels::cuda::normalise(call.params, on));
  const Normalised& out = call.out;
  return {out.lift_tc, out.shown_tc, out.value_tc, out.max_lift_t, out.entropy_t, out.diffuse_t, out.range_max};
}

at::Tensor resample_cuda(const at::Tensor& map_yx, double scale_x, double offset_x, double scale_y, double offset_y,
                         int64_t height, int64_t width, bool exact) {
  const On on(map_yx);
  const ResampleCall call = resample_call(map_yx, {scale_x, offset_x, scale_y, offset_y}, height, width,
                                          exact ? Interpolation::Exact : Interpolation::Bilinear);
  check_launch("resample", kernels::cuda::resample(call.params, on));
  return call.out_yx;
}

at::Tensor colour_cuda(const at::Tensor& value, int64_t colormap) {
  const On on(value);
  const ColourCall call = colour_call(value, static_cast<Colormap>(colormap));
  check_launch("colour", kernels::cuda::colour(call.params, on));
  return call.out_rgb;
}

at::Tensor blend_cuda(const at::Tensor& rgb_hwc, const at::Tensor& colour_hwc, const at::Tensor& value_yx,
                      double alpha_max, double alpha_start) {
  const On on(rgb_hwc);
  const BlendCall call = blend_call(rgb_hwc, colour_hwc, value_yx, {alpha_max, alpha_start});
  check_launch("blend", kernels::cuda::blend(call.params, on));
  return call.out_hwc;
}

void contour_cuda(at::Tensor& rgb_hwc, const at::Tensor& inside_yx, int64_t width_pixels) {
  const On on(rgb_hwc);
  const ContourCall call = contour_call(rgb_hwc, inside_yx, width_pixels);
  const Scratch scratch(on.stream, kernels::cuda::contour_workspace(call.params));
  check_launch("contour", kernels::cuda::contour(call.params, scratch.data(), on));
}

void overlay_cuda(const at::Tensor& rgb_hwc, const at::Tensor& value_yx, const std::optional<at::Tensor>& inside_yx,
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
  const On on(rgb_hwc);
  check_launch("overlay", kernels::cuda::overlay(params, on));
}

at::Tensor envelope_cuda(const at::Tensor& samples_ct, double first, double per_column, int64_t columns) {
  const On on(samples_ct);
  const EnvelopeCall call = envelope_call(samples_ct, {first, per_column, columns});
  check_launch("envelope", kernels::cuda::envelope(call.params, on));
  return call.out_ckw;
}

void draw_waveform_cuda(const at::Tensor& envelope_ckw, double full_scale, at::Tensor& out_hwc) {
  const On on(envelope_ckw);
  check_launch("draw_waveform", kernels::cuda::draw_waveform(waveform_params(envelope_ckw, full_scale, out_hwc), on));
}

void draw_spectrogram_cuda(const at::Tensor& mel_mt, double first_frame, double per_column, int64_t columns,
                           at::Tensor& out_hwc) {
  const On on(mel_mt);
  const auto params = spectrogram_params(mel_mt, {first_frame, per_column, columns}, out_hwc);
  check_launch("draw_spectrogram", kernels::cuda::draw_spectrogram(params, on));
}

void register_cuda_ops() {
  // Leaked: the host's threads may outlive static objects.
  static auto* const m = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::CUDA, __FILE__, __LINE__);
  m->impl("reduce_", reduce_cuda);
  m->impl("attend", attend_cuda);
  m->impl("attend_reduce_", attend_reduce_cuda);
  m->impl("normalise", normalise_cuda);
  m->impl("resample", resample_cuda);
  m->impl("colour", colour_cuda);
  m->impl("blend", blend_cuda);
  m->impl("contour_", contour_cuda);
  m->impl("overlay_out", overlay_cuda);
  m->impl("envelope", envelope_cuda);
  m->impl("draw_waveform_out", draw_waveform_cuda);
  m->impl("draw_spectrogram_out", draw_spectrogram_cuda);
}

bool capturing_cuda(c10::DeviceIndex device) {
  const bool clean = cudaPeekAtLastError() == cudaSuccess;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t error = cudaStreamIsCapturing(c10::cuda::getCurrentCUDAStream(device).stream(), &status);
  if (error == cudaSuccess) return status != cudaStreamCaptureStatusNone;
  // Any other error is of earlier work: it stays for the host to find, and says nothing about a recording.
  if (error != cudaErrorStreamCaptureImplicit) return false;
  // The default stream was asked while one that waits for it records: nothing may be launched then either.
  if (clean) (void)cudaGetLastError();
  return true;
}

void allow_calls_while_capturing_cuda(c10::DeviceIndex device) {
  static thread_local bool allowed = false;
  if (allowed) return;
  // The call makes a context on the current device: of a thread that never chose one that is the first GPU, which the
  // model may not use.
  const c10::cuda::CUDAGuard guard(device);
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  allowed = cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess;
}

}  // namespace
}  // namespace gaze::ops

extern "C" GAZE_API const gaze::ops::CudaPart gaze_cuda_table = {{GAZE_VERSION, sizeof(gaze::ops::CudaPart)},
                                                                 &gaze::ops::register_cuda_ops,
                                                                 &gaze::ops::attend_reduce_calls,
                                                                 &gaze::ops::capturing_cuda,
                                                                 &gaze::ops::allow_calls_while_capturing_cuda};
