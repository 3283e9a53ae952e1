// SPDX-License-Identifier: MIT
// The CUDA part over emulated kernels, as the core loads it.
#pragma once

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/device.hpp>

#include <stdexcept>
#include <string>

#include "render/fake_device.hpp"

/// What tests tell and ask it; on the fake device.
inline emulated::Runtime& emulated_part() {
  static emulated::Runtime* const found = [] {
    if (const std::string problem = gaze::ops::missing_for(gaze::test::fake::device()); !problem.empty())
      throw std::runtime_error(problem);
    Dl_info core;
    dladdr(reinterpret_cast<const void*>(&gaze::ops::missing_for), &core);
    const std::string file = core.dli_fname;
    void* const part =
        dlopen((file.substr(0, file.rfind('/') + 1) + "libgaze_cuda.so").c_str(), RTLD_NOW | RTLD_NOLOAD);
    return reinterpret_cast<emulated::Runtime* (*)()>(dlsym(part, "emulated_runtime"))();
  }();
  return *found;
}
