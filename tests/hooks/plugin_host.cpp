// SPDX-License-Identifier: MIT
// A program without LibTorch that unloads a plugin while it draws: plugin_host PLUGIN MODE MODEL FOLDER SEED
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: plugin_host PLUGIN MODE MODEL FOLDER SEED\n");
    return 2;
  }
  void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  const auto run_host =
      reinterpret_cast<int (*)(const char*, const char*, const char*, int)>(dlsym(plugin, "run_host"));
  const int status = run_host(argv[2], argv[3], argv[4], std::atoi(argv[5]));
  dlclose(plugin);
  return status;
}
