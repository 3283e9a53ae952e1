// SPDX-License-Identifier: MIT
// Parts: libraries of this build that are opened when first needed, because what they link is heavy or may be missing.
#pragma once

#include <gaze/ops/api.hpp>

#include <cstddef>
#include <string>

namespace gaze::ops {

/// What every part's table begins with: both sides must have been compiled with the same one.
struct PartTag {
  char version[16] = GAZE_VERSION;
  size_t table_bytes = 0;
};

/// The table behind `symbol` of the library `file` in the folder of the library that holds the address `own`. The part
/// is opened by its absolute path, and what it brings stays out of the process's global scope.
/// @return null when it cannot be had; `problem` then says why
GAZE_API const PartTag* open_part(const void* own, const char* file, const char* symbol, size_t table_bytes,
                                  std::string& problem);

/// Has `handler` run at exit before anything is destroyed that a part opened from now on brings: by then the threads
/// that use parts must have stopped. The latest one counts.
GAZE_API void before_parts_end(void (*handler)()) noexcept;

template <typename Table>
struct Part {
  const Table* table = nullptr;
  std::string problem;  ///< why there is none
};

/// @tparam Table  derived from PartTag, with kFile and kSymbol
template <typename Table>
Part<Table> open_part(const void* own) {
  Part<Table> part;
  part.table = static_cast<const Table*>(open_part(own, Table::kFile, Table::kSymbol, sizeof(Table), part.problem));
  return part;
}

}  // namespace gaze::ops
