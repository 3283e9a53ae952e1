// SPDX-License-Identifier: MIT
// What a file is that is no picture Gaze reads, so that its owner hears what to do with it.
#pragma once

#include <string_view>

namespace gaze {

struct FileKind {
  const char* name;  ///< with its article: "a GIF"
  const char* fix;   ///< a sentence
};

/// By its first bytes, or "something else".
FileKind kind_of_file(std::string_view bytes);

}  // namespace gaze
