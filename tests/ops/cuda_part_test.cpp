// SPDX-License-Identifier: MIT
// The library with the CUDA kernels loads without a GPU, and its table has no hole.
#include <dlfcn.h>
#include <gaze/ops/device.hpp>

#include <cstddef>
#include <string>

#include "cuda_part.hpp"
#include "support/test.hpp"

CATCH_TEST_CASE("the CUDA part loads beside the core and has a kernel for every op") {
#ifndef GAZE_HAS_CUDA
  CATCH_CHECK(gaze::ops::missing_for(at::Device(at::kCUDA, 0)).find("libgaze_cuda.so") != std::string::npos);
#else
  using gaze::ops::CudaPart;
  CATCH_REQUIRE(gaze::ops::missing_for(at::Device(at::kCUDA, 0)) == "");
  CATCH_CHECK(gaze::ops::missing_for(at::Device(at::kCPU)) == "");
  Dl_info core;
  CATCH_REQUIRE(dladdr(reinterpret_cast<const void*>(&gaze::ops::missing_for), &core) != 0);
  const std::string file = core.dli_fname;
  void* const part = dlopen((file.substr(0, file.rfind('/') + 1) + CudaPart::kFile).c_str(), RTLD_NOW | RTLD_NOLOAD);
  CATCH_REQUIRE(part != nullptr);
  const auto* const table = static_cast<const CudaPart*>(dlsym(part, CudaPart::kSymbol));
  CATCH_REQUIRE(table != nullptr);
  const auto* const functions = reinterpret_cast<void* const*>(static_cast<const gaze::ops::PartTag*>(table) + 1);
  constexpr std::size_t kCount = (sizeof(CudaPart) - sizeof(gaze::ops::PartTag)) / sizeof(void*);
  static_assert(kCount == sizeof(gaze::ops::KernelTable) / sizeof(void*) + 5);
  for (std::size_t i = 0; i < kCount; ++i) {
    CATCH_CAPTURE(i);
    CATCH_CHECK(functions[i] != nullptr);
  }
#endif
  CATCH_CHECK_FALSE(gaze::ops::capturing(at::Device(at::kCPU)));
  gaze::ops::allow_calls_while_capturing(at::Device(at::kCPU));
}
