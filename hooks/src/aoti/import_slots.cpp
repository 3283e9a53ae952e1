// SPDX-License-Identifier: MIT
#include "aoti/import_slots.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gaze {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT, kGlobalData = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT, kGlobalData = R_AARCH64_GLOB_DAT;
#else
#error "The relocations of this processor are not known."
#endif

const void* at(uintptr_t address) { return reinterpret_cast<const void*>(address); }

}  // namespace

LoadedLibrary::LoadedLibrary(const void* address) {
  Dl_info info = {};
  link_map* map = nullptr;
  if (dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr)
    throw Error("attach: expected the library of a package, got none at its address.");
  file_ = info.dli_fname;
  base_ = map->l_addr;
  const auto* const header = reinterpret_cast<const ElfW(Ehdr)*>(info.dli_fbase);
  const auto* const parts = reinterpret_cast<const ElfW(Phdr)*>(reinterpret_cast<uintptr_t>(header) + header->e_phoff);
  uintptr_t begin = UINTPTR_MAX, end = 0;
  for (int i = 0; i < header->e_phnum; ++i) {
    const uintptr_t from = base_ + parts[i].p_vaddr, to = from + parts[i].p_memsz;
    if (parts[i].p_type == PT_LOAD) {
      begin = std::min(begin, from);
      end = std::max(end, to);
    } else if (parts[i].p_type == PT_GNU_RELRO) {
      sealed_begin_ = at(from);
      sealed_end_ = at(to);
    }
  }
  begin_ = at(begin);
  end_ = at(end);
  read_slots(map->l_ld);
}

void LoadedLibrary::read_slots(const void* dynamic_section) {
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  struct {
    const ElfW(Rela) * first = nullptr;
    size_t bytes = 0;
  } jumps, others;
  for (const auto* entry = static_cast<const ElfW(Dyn)*>(dynamic_section); entry->d_tag != DT_NULL; ++entry) {
    const uintptr_t value = entry->d_un.d_ptr;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        symbols = reinterpret_cast<const ElfW(Sym)*>(value);
        break;
      case DT_STRTAB:
        names = reinterpret_cast<const char*>(value);
        break;
      case DT_JMPREL:
        jumps.first = reinterpret_cast<const ElfW(Rela)*>(value);
        break;
      case DT_PLTRELSZ:
        jumps.bytes = value;
        break;
      case DT_RELA:
        others.first = reinterpret_cast<const ElfW(Rela)*>(value);
        break;
      case DT_RELASZ:
        others.bytes = value;
        break;
      default:
        break;
    }
  }
  if (symbols == nullptr || names == nullptr) return;
  for (const auto& table : {jumps, others}) {
    if (table.first == nullptr) continue;
    for (size_t i = 0; i < table.bytes / sizeof(ElfW(Rela)); ++i) {
      const ElfW(Rela)& each = table.first[i];
      const auto type = static_cast<uint32_t>(ELF64_R_TYPE(each.r_info));
      if (type != kJumpSlot && type != kGlobalData) continue;
      slots_.push_back(
          {names + symbols[ELF64_R_SYM(each.r_info)].st_name, reinterpret_cast<void**>(base_ + each.r_offset)});
    }
  }
}

void* LoadedLibrary::find(const char* function) const {
  void* const library = dlopen(file_.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return nullptr;
  void* const found = dlsym(library, function);
  dlclose(library);
  return found;
}

bool LoadedLibrary::redirect(const char* function, void* instead) const {
  bool imported = false;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (const Slot& slot : slots_) {
    if (slot.function != function) continue;
    auto* const begin = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(slot.address) & ~(page - 1));
    const bool sealed = slot.address >= sealed_begin_ && slot.address < sealed_end_;
    if (sealed && mprotect(begin, page, PROT_READ | PROT_WRITE) != 0) {
      throw Error(
          "attach: expected to write into the package's table of imports, got: " + std::string(std::strerror(errno)) +
          ". Allow the process to change the protection of its own memory.");
    }
    __atomic_store_n(slot.address, instead, __ATOMIC_RELEASE);
    if (sealed) mprotect(begin, page, PROT_READ);
    imported = true;
  }
  return imported;
}

}  // namespace gaze
