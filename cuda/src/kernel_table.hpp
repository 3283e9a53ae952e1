// SPDX-License-Identifier: MIT
// What an op calls once its arguments are checked: the kernels of one kind of device, behind one table.
#pragma once

#include <c10/core/Device.h>

#include "kernels.hpp"

namespace gaze::ops {

/// All memory that the parameters name is of `device`. The CPU's kernels are done when they return; CUDA's are enqueued
/// on the device's current stream. @throws LaunchError, c10::OutOfMemoryError
struct KernelTable {
  void (*reduce)(const kernels::ReduceParams& params, c10::DeviceIndex device);
  void (*attend)(const kernels::AttendParams& params, float* out_hqk, c10::DeviceIndex device);
  /// Calls for some batch rows, as kernels::cuda::attend_reduce says; they may share launches.
  void (*attend_reduce)(const kernels::AttendReduceParams* calls, int count, const kernels::RowOffset* offset_b,
                        int64_t rows, c10::DeviceIndex device);
  void (*append)(const kernels::AppendParams& params, c10::DeviceIndex device);
  void (*normalise)(const kernels::NormaliseParams& params, c10::DeviceIndex device);
  void (*colour)(const kernels::ColourParams& params, c10::DeviceIndex device);
  void (*blend)(const kernels::BlendParams& params, c10::DeviceIndex device);
  void (*quantise)(const kernels::QuantiseParams& params, c10::DeviceIndex device);
  void (*overlay)(const kernels::OverlayParams& params, c10::DeviceIndex device);
  void (*envelope)(const kernels::EnvelopeParams& params, c10::DeviceIndex device);
  void (*draw_waveform)(const kernels::WaveformParams& params, c10::DeviceIndex device);
  void (*draw_spectrogram)(const kernels::SpectrogramParams& params, c10::DeviceIndex device);
};

extern const KernelTable cpu_kernels;

/// The CPU's alone, and no part of the table: CUDA has at::stft. So has the CPU, but an allocation that fails within
/// MKL's transform ends the process.
void power_spectrum_cpu(const kernels::PowerSpectrumParams& params);

}  // namespace gaze::ops
