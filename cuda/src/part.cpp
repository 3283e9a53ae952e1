// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <link.h>
#include <gaze/ops/part.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace gaze::ops {
namespace {

std::atomic<void (*)()> ending{nullptr};

// The loader maps what a header promises, and the process dies of what a half-copied file lacks. What a linker writes
// last are the section headers.
bool is_cut(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  ElfW(Ehdr) header;
  if (!file || std::fread(&header, sizeof header, 1, file.get()) != 1) return false;  // the loader says why
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return false;                // as well
  const auto end = static_cast<int64_t>(header.e_shoff) + int64_t{header.e_shnum} * header.e_shentsize;
  return std::fseek(file.get(), 0, SEEK_END) != 0 || std::ftell(file.get()) < end;
}

}  // namespace

const PartTag* open_part(const void* own, const char* file, const char* symbol, size_t table_bytes,
                         std::string& problem) {
  Dl_info self;
  const bool known = dladdr(own, &self) != 0 && self.dli_fname != nullptr;
  const std::string asking = known ? self.dli_fname : "";
  // A relative path means another file once the host has changed its directory.
  if (asking.empty() || asking.front() != '/') {
    problem = std::string(file) + " is looked for beside the library that needs it, which was loaded by the path '" +
              asking + "', not an absolute one";
    return nullptr;
  }
  const std::string path = asking.substr(0, asking.find_last_of('/') + 1) + file;
  if (is_cut(path)) {
    problem = path + " is cut short";
    return nullptr;
  }
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    problem = why != nullptr ? why : path + " cannot be loaded";
    return nullptr;
  }
  const auto* const tag = static_cast<const PartTag*>(dlsym(library, symbol));
  const PartTag wanted;
  if (tag == nullptr || std::memcmp(tag->version, wanted.version, sizeof wanted.version) != 0 ||
      tag->table_bytes != table_bytes) {
    problem = path + " is not of this build of Gaze " GAZE_VERSION;
    return nullptr;
  }
  // What is registered last runs first.
  if (void (*const handler)() = ending.load()) std::atexit(handler);
  return tag;
}

void before_parts_end(void (*handler)()) noexcept { ending.store(handler); }

}  // namespace gaze::ops
