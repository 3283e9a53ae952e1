// SPDX-License-Identifier: MIT
// The table of the CPU: scratch memory and torch's threads for the kernels.
#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>

#include "kernel_table.hpp"

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

void reduce_cpu(const kernels::ReduceParams& params, c10::DeviceIndex) {
  const kernels::cpu::Parallel threads = parallel();
  kernels::cpu::reduce(params, workspace(kernels::cpu::reduce_workspace(params, threads.threads)), threads);
}

void attend_cpu(const kernels::AttendParams& params, float* out_hqk, c10::DeviceIndex) {
  const kernels::cpu::Parallel threads = parallel();
  kernels::cpu::attend(params, out_hqk, workspace(kernels::cpu::attend_workspace(params, threads.threads)), threads);
}

void attend_reduce_cpu(const kernels::AttendReduceParams* calls, int count, const kernels::RowOffset* offset_b,
                       int64_t rows, c10::DeviceIndex) {
  const kernels::cpu::Parallel threads = parallel();
  for (const kernels::AttendReduceParams* call = calls; call != calls + count; ++call) {
    void* const memory = workspace(kernels::cpu::attend_reduce_workspace(*call, threads.threads));
    for (int64_t b = 0; b < rows; ++b) {
      kernels::AttendReduceParams row = *call;
      row.scores = kernels::at_row(call->scores, b);
      row.to = kernels::shifted(call->to, offset_b[b]);
      kernels::cpu::attend_reduce(row, memory, threads);
    }
  }
}

void append_cpu(const kernels::AppendParams& params, c10::DeviceIndex) { kernels::cpu::append(params); }

void normalise_cpu(const kernels::NormaliseParams& params, c10::DeviceIndex) {
  kernels::cpu::normalise(params, workspace(kernels::cpu::normalise_workspace(params)));
}

void colour_cpu(const kernels::ColourParams& params, c10::DeviceIndex) { kernels::cpu::colour(params); }

void blend_cpu(const kernels::BlendParams& params, c10::DeviceIndex) { kernels::cpu::blend(params); }

void quantise_cpu(const kernels::QuantiseParams& params, c10::DeviceIndex) { kernels::cpu::quantise(params); }

/// Smaller pictures cost less than threads do.
constexpr int64_t kPixelsPerThread = 1 << 16;

template <typename Draw>
void each_rows(int64_t height, int64_t width, const Draw& draw) {
  at::parallel_for(0, height, std::max<int64_t>(1, kPixelsPerThread / width), draw);
}

void overlay_cpu(const kernels::OverlayParams& params, c10::DeviceIndex) {
  const std::size_t bytes = kernels::cpu::overlay_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::overlay(params, first, end, workspace(bytes)); });
}

void envelope_cpu(const kernels::EnvelopeParams& params, c10::DeviceIndex) {
  kernels::cpu::envelope(params, parallel());
}

void draw_waveform_cpu(const kernels::WaveformParams& params, c10::DeviceIndex) {
  const std::size_t bytes = kernels::cpu::draw_waveform_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::draw_waveform(params, first, end, workspace(bytes)); });
}

void draw_spectrogram_cpu(const kernels::SpectrogramParams& params, c10::DeviceIndex) {
  const std::size_t bytes = kernels::cpu::draw_spectrogram_workspace(params);
  each_rows(params.height, params.width,
            [&](int64_t first, int64_t end) { kernels::cpu::draw_spectrogram(params, first, end, workspace(bytes)); });
}

/// Samples of all windows that are worth a thread.
constexpr int64_t kSamplesPerThread = 1 << 17;

}  // namespace

void power_spectrum_cpu(const kernels::PowerSpectrumParams& params) {
  const std::size_t bytes = kernels::cpu::power_spectrum_workspace(params);
  constexpr int64_t kGroup = kernels::cpu::kFrameGroup;
  at::parallel_for(
      0, (params.frames + kGroup - 1) / kGroup, std::max<int64_t>(1, kSamplesPerThread / (kGroup * params.window)),
      [&](int64_t first, int64_t end) { kernels::cpu::power_spectrum(params, first, end, workspace(bytes)); });
}

const KernelTable cpu_kernels = {&reduce_cpu,    &attend_cpu,   &attend_reduce_cpu, &append_cpu,
                                 &normalise_cpu, &colour_cpu,   &blend_cpu,         &quantise_cpu,
                                 &overlay_cpu,   &envelope_cpu, &draw_waveform_cpu, &draw_spectrogram_cpu};

}  // namespace gaze::ops
