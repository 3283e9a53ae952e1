// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace gaze_bench {

/// A folder that goes away.
struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gaze-bench-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace gaze_bench
