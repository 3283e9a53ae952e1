// SPDX-License-Identifier: MIT
// A host that knows nothing of Gaze: preload_host FORM MODEL.pt [FOLDER] loads a module in one of the ways there are,
// calls it a few times, the last time once something lies in FOLDER, and prints what came out. Also a library of its
// own, for a program that opens torch for itself alone.
#include <sched.h>
#include <torch/script.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

namespace {

torch::jit::Module load(const std::string& form, const std::string& file) {
  torch::jit::ExtraFilesMap extra;
  std::ifstream stream(file, std::ios::binary);
  if (form == "stream") return torch::jit::load(stream);
  if (form == "stream_extra") return torch::jit::load(stream, std::nullopt, extra);
  if (form == "file_extra") return torch::jit::load(file, std::nullopt, extra);
  return torch::jit::load(file);
}

bool holds_a_bundle(const char* folder) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (std::filesystem::exists(entry.path() / "request.json", failed)) return true;
  }
  return false;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int run_host(const char* form, const char* file, const char* folder) {
  try {
    torch::jit::Module module = load(form, file);
    module.eval();
    const at::NoGradGuard no_grad;
    at::Tensor out;
    for (int call = 0; call < 3; ++call) {
      while (call == 2 && folder != nullptr && !holds_a_bundle(folder)) sched_yield();
      out = module.forward({at::ones({1, 2, 16}), at::arange(96, at::kFloat).view({1, 6, 16}) / 96}).toTensor();
    }
    const auto* bytes = static_cast<const unsigned char*>(out.contiguous().data_ptr());
    for (size_t i = 0; i < out.nbytes(); ++i) std::printf("%02x", bytes[i]);
    std::printf("\n");
    return 0;
  } catch (const std::exception& error) {
    std::printf("threw\n");
    return 3;
  }
}

#ifdef GAZE_HOST_PROGRAM
int main(int argc, char** argv) { return argc == 3 || argc == 4 ? run_host(argv[1], argv[2], argv[3]) : 2; }
#endif
