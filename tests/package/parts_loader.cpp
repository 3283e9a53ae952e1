// SPDX-License-Identifier: MIT
// LibTorch alone: parts_loader says what it brings; parts_loader PLUGIN ARGUMENT... opens a host locally and runs it.
#include <dlfcn.h>

#include <ATen/Parallel.h>

#include "libraries.hpp"

int main(int argc, char** argv) {
  if (argc < 2) {
    at::get_num_threads();  // linked, whatever the linker leaves out
    print_libraries();
    return 0;
  }
  void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::cerr << dlerror() << '\n';
    return 1;
  }
  return reinterpret_cast<int (*)(int, char**)>(dlsym(plugin, "host_main"))(argc - 1, argv + 1);
}
