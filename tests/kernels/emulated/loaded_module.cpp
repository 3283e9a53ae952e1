// SPDX-License-Identifier: MIT
#include "loaded_module.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/auxv.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

namespace emulated {
namespace {

struct Module {
  std::map<std::uintptr_t, std::string> functions;   ///< mangled
  std::map<std::string, std::span<char>> variables;  ///< those that can be written
};

Dl_info place_of(const void* address) {
  Dl_info found = {};
  dladdr(address, &found);
  return found;
}

std::string file_of(const Dl_info& module) {
  const void* const program = place_of(reinterpret_cast<const void*>(getauxval(AT_PHDR))).dli_fbase;
  return module.dli_fbase == program ? "/proc/self/exe" : module.dli_fname;
}

Module read_module() {
  const Dl_info here = place_of(reinterpret_cast<const void*>(&name_of));
  std::ifstream file(file_of(here), std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < sizeof(Elf64_Ehdr)) throw std::logic_error("kernel: cannot read " + file_of(here));
  const auto* const head = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + head->e_shoff);
  const std::uintptr_t base = head->e_type == ET_DYN ? reinterpret_cast<std::uintptr_t>(here.dli_fbase) : 0;
  Module module;
  for (const Elf64_Shdr& table : std::span(sections, head->e_shnum)) {
    if (table.sh_type != SHT_SYMTAB) continue;
    const char* const names = bytes.data() + sections[table.sh_link].sh_offset;
    const auto* const symbols = reinterpret_cast<const Elf64_Sym*>(bytes.data() + table.sh_offset);
    for (const Elf64_Sym& symbol : std::span(symbols, table.sh_size / sizeof(Elf64_Sym))) {
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= head->e_shnum) continue;
      const std::string name = names + symbol.st_name;
      const std::uintptr_t at = base + symbol.st_value;
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC) module.functions.emplace(at, name);
      const bool writable = (sections[symbol.st_shndx].sh_flags & SHF_WRITE) != 0;
      if (ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT && writable)
        module.variables[name] = std::span(reinterpret_cast<char*>(at), symbol.st_size);
    }
  }
  return module;
}

const Module& module() {
  static const Module read = read_module();
  return read;
}

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Without "(namespace::Enumeration)" before a number.
std::string without_types_of_values(std::string text) {
  for (std::size_t at = text.find('('); at != std::string::npos; at = text.find('(', at + 1)) {
    const std::size_t end = text.find_first_of("()<> ", at + 1);
    if (end == std::string::npos || text[end] != ')' || end + 1 == text.size()) continue;
    const std::size_t number = end + (text[end + 1] == '-' ? 2 : 1);
    if (number < text.size() && std::isdigit(static_cast<unsigned char>(text[number])) != 0) {
      text.erase(at, end + 1 - at);
      --at;
    }
  }
  return text;
}

std::string without_namespaces(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "::") != 0) {
      out += text[i];
      continue;
    }
    while (!out.empty() && in_name(out.back())) out.pop_back();
    ++i;
  }
  return out;
}

std::string plain_name(const std::string& mangled) {
  const std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr),
                                                     &std::free);
  std::string name = plain ? plain.get() : mangled;
  const std::string unnamed = "(anonymous namespace)";
  for (std::size_t at = name.find(unnamed); at != std::string::npos; at = name.find(unnamed))
    name.replace(at, unnamed.size(), "anonymous");
  name = without_types_of_values(name);
  name = without_namespaces(name.substr(0, name.find('(')));
  return name.rfind("void ", 0) == 0 ? name.substr(5) : name;
}

/// Beside each stands a marker, in the same function and so with the same beginning.
std::vector<std::span<char>> find_shared(const std::map<std::string, std::span<char>>& variables) {
  const std::string mark = "emulated_shared_";
  std::set<std::string> functions;
  for (const auto& [name, memory] : variables) {
    const std::size_t at = name.find(mark);
    if (at != std::string::npos) functions.insert(name.substr(0, name.find_last_not_of("0123456789", at - 1) + 1));
  }
  std::vector<std::span<char>> shared;
  for (const std::string& function : functions) {
    for (auto each = variables.lower_bound(function); each != variables.end(); ++each) {
      const std::string& name = each->first;
      if (name.rfind(function, 0) != 0) break;
      const bool guarded = variables.count("_ZGV" + name.substr(2)) > 0;  // set when its function first runs
      if (!guarded && name.find(mark) == std::string::npos) shared.push_back(each->second);
    }
  }
  return shared;
}

}  // namespace

const std::string& name_of(const void* function) {
  static std::map<const void*, std::string> known;
  const auto before = known.find(function);
  if (before != known.end()) return before->second;
  const auto found = module().functions.find(reinterpret_cast<std::uintptr_t>(function));
  if (found == module().functions.end()) throw std::logic_error("kernel: it has no symbol; was the program stripped?");
  return known.emplace(function, plain_name(found->second)).first->second;
}

const std::vector<std::span<char>>& static_shared() {
  static const std::vector<std::span<char>> shared = find_shared(module().variables);
  return shared;
}

}  // namespace emulated
