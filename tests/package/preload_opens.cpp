// SPDX-License-Identifier: MIT
// Opens a host's library for itself alone, as servers open their back ends: preload_opens local|deep LIBRARY FORM
// MODEL.pt
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int deep = std::strcmp(argv[1], "deep") == 0 ? RTLD_DEEPBIND : 0;
  void* const library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL | deep);
  auto* const run = library == nullptr
                        ? nullptr
                        : reinterpret_cast<int (*)(const char*, const char*, const char*)>(dlsym(library, "run_host"));
  if (run == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  return run(argv[3], argv[4], nullptr);
}
