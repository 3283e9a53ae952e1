// SPDX-License-Identifier: MIT
#include "cuda_part.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <gaze/ops/device.hpp>

namespace gaze::ops {

const CudaPart* cuda_part(std::string* problem) {
  static const auto* const loaded = [] {
    // Leaked: used until the last thread ends.
    return new Part<CudaPart>(open_part<CudaPart>(reinterpret_cast<const void*>(&cuda_part)));
  }();
  if (problem != nullptr) *problem = loaded->problem;
  return loaded->table;
}

std::string missing_for(c10::Device device) {
  if (!device.is_cuda()) return "";
  std::string problem;
  cuda_part(&problem);
  return problem;
}

bool capturing(c10::Device device) {
  if (!device.is_cuda()) return false;
  const CudaPart* const part = cuda_part();
  return part != nullptr && part->capturing(device.index());
}

void allow_calls_while_capturing(c10::Device device) {
  if (!device.is_cuda()) return;
  if (const CudaPart* const part = cuda_part()) part->allow_calls_while_capturing(device.index());
}

void prepare(c10::Device device) {
  if (!device.is_cuda()) return;
  if (const CudaPart* const part = cuda_part()) part->prepare(device.index());
}

c10::Stream own_stream(c10::Device device) {
  const CudaPart* const part = device.is_cuda() ? cuda_part() : nullptr;
  if (part != nullptr) return part->own_stream(device.index());
  return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

}  // namespace gaze::ops
