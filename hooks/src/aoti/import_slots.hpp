// SPDX-License-Identifier: MIT
// The table of imports of a library that is loaded: where its code finds functions of others. Knows no torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

class LoadedLibrary {
 public:
  /// That holds the address. @throws gaze::Error where none does
  explicit LoadedLibrary(const void* address);

  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  [[nodiscard]] bool holds(const void* address) const noexcept { return address >= begin_ && address < end_; }
  [[nodiscard]] uintptr_t offset_of(const void* address) const noexcept {
    return reinterpret_cast<uintptr_t>(address) - base_;
  }
  /// The function of that name as the library itself finds it; null: it does not.
  [[nodiscard]] void* find(const char* function) const;
  /// From now on its code calls `instead`. One store: calls that run meanwhile take the one or the other.
  /// @return whether it imports the function
  bool redirect(const char* function, void* instead) const;

 private:
  struct Slot {
    std::string function;
    void** address;
  };
  void read_slots(const void* dynamic_section);

  std::string file_;
  uintptr_t base_ = 0;
  const void *begin_ = nullptr, *end_ = nullptr;
  const void *sealed_begin_ = nullptr, *sealed_end_ = nullptr;  // read-only once it is loaded
  std::vector<Slot> slots_;
};

}  // namespace gaze
