// SPDX-License-Identifier: MIT
// gaze_faults_plugin_host PLUGIN HOW FOLDER STATUS
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  alarm(60);
  void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  reinterpret_cast<void (*)(const char*, const char*)>(dlsym(plugin, "gaze_plugin_start"))(argv[2], argv[3]);
  dlclose(plugin);
  return std::atoi(argv[4]);
}
