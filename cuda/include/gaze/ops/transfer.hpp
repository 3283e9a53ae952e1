// SPDX-License-Identifier: MIT
// The only way between host and device memory, and the count of what took it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace gaze::ops {

/// What a transfer carries.
enum class Cargo {
  Frame,    ///< finished pixels, to the host
  Map,      ///< a request's map, to the host
  Figures,  ///< a few numbers per token and per map, to the host
  Picture,  ///< a base picture or recording, either way
  Table,    ///< positions and small drawings, to the device
  kCount
};

struct Traffic {
  int64_t calls = 0;
  int64_t bytes = 0;
};

struct Transferred {
  std::array<Traffic, static_cast<size_t>(Cargo::kCount)> to_device;
  std::array<Traffic, static_cast<size_t>(Cargo::kCount)> to_host;

  [[nodiscard]] const Traffic& up(Cargo cargo) const { return to_device[static_cast<size_t>(cargo)]; }
  [[nodiscard]] const Traffic& back(Cargo cargo) const { return to_host[static_cast<size_t>(cargo)]; }
};

/// What the process has transferred so far. Only ever grows: measure by the difference of two. Thread-safe.
GAZE_API Transferred transferred() noexcept;

/// A device as seen from the host. Without `crosses` the two share their memory: tensors are handed through, and
/// nothing is copied or counted. A CPU with `crosses` is treated as a device apart, copy by copy.
struct Route {
  at::Device device = at::kCPU;
  bool crosses = false;
};

/// The route to a device as it is: everything but the CPU lies across.
GAZE_API Route route_to(at::Device device);

/// `source` in the device's memory, enqueued on its current stream; `source` itself when it is there already.
/// A host tensor may be released as soon as this returns.
GAZE_API at::Tensor to_device(const at::Tensor& source, const Route& route, Cargo cargo);

/// Host memory that a transfer can fill while the host goes on: page-locked where a device is across.
GAZE_API at::Tensor host_buffer(at::IntArrayRef sizes, at::ScalarType dtype, const Route& route);

/// Copies `source` into `destination`, contiguous host memory of the same size and type, asynchronously on the device's
/// current stream: read it after an event recorded there. Goes in pieces of at most 1 MiB, between which what others
/// copy finds room. Without `crosses` the two are one tensor, and nothing happens.
/// @throws c10::Error naming the argument, expected and got.
GAZE_API void to_host(const at::Tensor& source, const at::Tensor& destination, const Route& route, Cargo cargo);

}  // namespace gaze::ops
