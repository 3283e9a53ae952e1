// SPDX-License-Identifier: MIT
#include "cuda_part.hpp"

#include <dlfcn.h>
#include <gaze/ops/device.hpp>

#include <atomic>
#include <mutex>

namespace gaze::ops {
namespace {

struct Loaded {
  const CudaPart* part = nullptr;
  std::string problem;
};

std::atomic<const CudaPart*> loaded_part{nullptr};

Loaded load() {
  Loaded result;
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&cuda_part), &self) == 0 || self.dli_fname == nullptr) {
    result.problem = "the folder of libgaze_ops.so is not known";
    return result;
  }
  const std::string own = self.dli_fname;
  const std::string file = own.substr(0, own.find_last_of('/') + 1) + "libgaze_cuda.so";
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    result.problem = why != nullptr ? why : file + " cannot be loaded";
    return result;
  }
  const auto entry = reinterpret_cast<const CudaPart* (*)()>(dlsym(library, kCudaPartEntry));
  if (entry == nullptr) {
    result.problem = file + " is not of this build";
    return result;
  }
  result.part = entry();
  result.part->register_ops();
  return result;
}

}  // namespace

const CudaPart* cuda_part(std::string* problem) {
  static const Loaded* const loaded = [] {
    auto* const result = new Loaded(load());  // leaked: used until the last thread ends
    loaded_part.store(result->part);
    return result;
  }();
  if (problem != nullptr) *problem = loaded->problem;
  return loaded->part;
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

void allow_calls_while_capturing() {
  if (const CudaPart* const part = loaded_part.load()) part->allow_calls_while_capturing();
}

}  // namespace gaze::ops
