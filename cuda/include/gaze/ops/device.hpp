// SPDX-License-Identifier: MIT
// What callers on a device must know beyond its tensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

#include <memory>
#include <string>

namespace gaze::ops {

/// A kernel that did not start, by what the device's runtime said.
class GAZE_API LaunchError : public c10::Error {
  using Error::Error;
};

/// Why tensors of `device` cannot be used; empty: they can. For CUDA: whether the library with its kernels loads.
GAZE_API std::string missing_for(c10::Device device);

/// Whether the current stream of `device` records a CUDA graph: what is launched then runs at every replay, and what
/// waits for a result breaks the recording. False on other devices. Cost: one call of the driver.
GAZE_API bool capturing(c10::Device device);

/// Keeps `object` as long as the CUDA graph that the current stream of `device` records, and what is instantiated of
/// it: for memory that its replays write. After them it is let go of, on some later call.
/// @return false: the stream records none, or the driver cannot; nothing is kept
GAZE_API bool keep_with_graph(c10::Device device, std::shared_ptr<void> object);

/// Lets this thread allocate and wait for events while another thread records a CUDA graph; without it such a call
/// would break the recording. For threads that never record, before their first call that `device` is meant in. Once is
/// enough for all devices: later calls cost nothing. Does nothing for devices that know no graphs.
GAZE_API void allow_calls_while_capturing(c10::Device device);

/// Loads what the first calls on `device` would load: the library with its kernels, and their code, which a driver that
/// loads late does while other work waits. Does nothing for the CPU, nor where the library is missing.
/// @throws LaunchError when the kernels have no code for this GPU
GAZE_API void prepare(c10::Device device);

/// A new stream of `device`, of the lowest priority, that waits for no other. Torch hands the streams of its pools to
/// whoever asks, several times; this one nobody else has. It lives until the process ends: for long use.
/// @throws LaunchError
GAZE_API c10::Stream own_stream(c10::Device device);

}  // namespace gaze::ops
