// SPDX-License-Identifier: MIT
// The table of CUDA: libgaze_cuda.so. Everything runs on the current stream of the device.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <gaze/ops/device.hpp>

#include "cuda_part.hpp"
#include "scratch.hpp"

namespace gaze::ops {
namespace {

/// Guard and stream of one call.
struct On {
  explicit On(c10::DeviceIndex device) : guard(device), stream(c10::cuda::getCurrentCUDAStream(device)) {}
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

bool capturing_cuda(c10::DeviceIndex device);

/// What a graph uses at every replay is no call's alone.
Scratch::Use use_of(c10::DeviceIndex device) {
  return capturing_cuda(device) ? Scratch::Use::Graph : Scratch::Use::Call;
}

void reduce_cuda(const kernels::ReduceParams& params, c10::DeviceIndex device) {
  check_launch("reduce", kernels::cuda::reduce(params, On(device)));
}

void attend_cuda(const kernels::AttendParams& params, float* out_hqk, c10::DeviceIndex device) {
  const On on(device);
  const Scratch scratch(on.stream, kernels::cuda::attend_workspace(params), use_of(device));
  check_launch("attend", kernels::cuda::attend(params, out_hqk, scratch.data(), on));
}

void attend_reduce_cuda(const kernels::AttendReduceParams* calls, int count, const kernels::RowOffset* offset_b,
                        int64_t rows, c10::DeviceIndex device) {
  const On on(device);
  const Scratch scratch(on.stream, kernels::cuda::attend_reduce_workspace(calls, count, rows), use_of(device));
  check_launch("attend_reduce", kernels::cuda::attend_reduce(calls, count, offset_b, rows, scratch.data(), on));
}

void append_cuda(const kernels::AppendParams& params, c10::DeviceIndex device) {
  check_launch("append", kernels::cuda::append(params, On(device)));
}

void normalise_cuda(const kernels::NormaliseParams& params, c10::DeviceIndex device) {
  check_launch("normalise", kernels::cuda::normalise(params, On(device)));
}

void colour_cuda(const kernels::ColourParams& params, c10::DeviceIndex device) {
  check_launch("colour", kernels::cuda::colour(params, On(device)));
}

void blend_cuda(const kernels::BlendParams& params, c10::DeviceIndex device) {
  check_launch("blend", kernels::cuda::blend(params, On(device)));
}

void quantise_cuda(const kernels::QuantiseParams& params, c10::DeviceIndex device) {
  check_launch("quantise", kernels::cuda::quantise(params, On(device)));
}

void overlay_cuda(const kernels::OverlayParams& params, c10::DeviceIndex device) {
  check_launch("overlay", kernels::cuda::overlay(params, On(device)));
}

void envelope_cuda(const kernels::EnvelopeParams& params, c10::DeviceIndex device) {
  check_launch("envelope", kernels::cuda::envelope(params, On(device)));
}

void draw_waveform_cuda(const kernels::WaveformParams& params, c10::DeviceIndex device) {
  check_launch("draw_waveform", kernels::cuda::draw_waveform(params, On(device)));
}

void draw_spectrogram_cuda(const kernels::SpectrogramParams& params, c10::DeviceIndex device) {
  check_launch("draw_spectrogram", kernels::cuda::draw_spectrogram(params, On(device)));
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

bool keep_with_graph_cuda(c10::DeviceIndex device, void* object, void (*release)(void*)) {
  const bool clean = cudaPeekAtLastError() == cudaSuccess;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  unsigned long long id = 0;
  cudaUserObject_t held = nullptr;
  cudaError_t error = cudaStreamGetCaptureInfo(c10::cuda::getCurrentCUDAStream(device).stream(), &status, &id, &graph);
  if (error == cudaSuccess && status != cudaStreamCaptureStatusActive) return false;
  if (error == cudaSuccess) error = cudaUserObjectCreate(&held, object, release, 1, cudaUserObjectNoDestructorSync);
  if (error != cudaSuccess) {
    if (clean) (void)cudaGetLastError();
    return false;
  }
  // The graph takes our reference over, and whatever is made of the graph has one of its own.
  error = cudaGraphRetainUserObject(graph, held, 1, cudaGraphUserObjectMove);
  if (error == cudaSuccess) return true;
  if (clean) (void)cudaGetLastError();
  // From now on `object` is let go of by the runtime.
  (void)cudaUserObjectRelease(held, 1);
  throw LaunchError({__func__, __FILE__, __LINE__},
                    c10::str("gaze::keep_with_graph: expected a graph that holds memory, got ", cudaGetErrorName(error),
                             ": ", cudaGetErrorString(error), "."));
}

void prepare_cuda(c10::DeviceIndex device) {
  const c10::cuda::CUDAGuard guard(device);
  for (const auto load : {kernels::cuda::load_attend, kernels::cuda::load_reduce, kernels::cuda::load_append,
                          kernels::cuda::load_normalise, kernels::cuda::load_overlay, kernels::cuda::load_quantise}) {
    check_launch("prepare", load());
  }
}

c10::Stream own_stream_cuda(c10::DeviceIndex device) {
  const c10::cuda::CUDAGuard guard(device);
  const bool clean = cudaPeekAtLastError() == cudaSuccess;
  int lowest = 0, highest = 0;
  cudaStream_t stream = nullptr;
  cudaError_t error = cudaDeviceGetStreamPriorityRange(&lowest, &highest);
  if (error == cudaSuccess) error = cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, lowest);
  if (error == cudaSuccess) return c10::cuda::getStreamFromExternal(stream, device);
  if (clean) (void)cudaGetLastError();
  throw LaunchError({__func__, __FILE__, __LINE__},
                    c10::str("gaze::own_stream: expected a stream, got ", cudaGetErrorName(error), ": ",
                             cudaGetErrorString(error), "."));
}

}  // namespace
}  // namespace gaze::ops

extern "C" GAZE_API const gaze::ops::CudaPart gaze_cuda_table = {
    {GAZE_VERSION, sizeof(gaze::ops::CudaPart)},
    {&gaze::ops::reduce_cuda, &gaze::ops::attend_cuda, &gaze::ops::attend_reduce_cuda, &gaze::ops::append_cuda,
     &gaze::ops::normalise_cuda, &gaze::ops::colour_cuda, &gaze::ops::blend_cuda, &gaze::ops::quantise_cuda,
     &gaze::ops::overlay_cuda, &gaze::ops::envelope_cuda, &gaze::ops::draw_waveform_cuda,
     &gaze::ops::draw_spectrogram_cuda},
    &gaze::ops::capturing_cuda,
    &gaze::ops::allow_calls_while_capturing_cuda,
    &gaze::ops::keep_with_graph_cuda,
    &gaze::ops::own_stream_cuda,
    &gaze::ops::prepare_cuda};
