// SPDX-License-Identifier: MIT
#include "samples.hpp"

#include <filesystem>

#include "console.hpp"

namespace gaze::cli {
namespace fs = std::filesystem;

std::string samples_dir() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path installed = program.parent_path().parent_path() / "share" / "gaze" / "samples";
  const fs::path source = GAZE_SAMPLES_DIR;
  for (const fs::path& candidate : {installed, source}) {
    if (fs::is_directory(candidate / "models", ignored)) return candidate.string();
  }
  throw Refusal("samples: expected " + installed.string() + " or " + source.string() +
                ", found neither. Name the folder with --data DIR, or install Gaze again.");
}

std::string profile_beside(const std::string& model) {
  std::error_code ignored;
  const fs::path profile = fs::path(model).parent_path() / "profile.json";
  return fs::is_regular_file(profile, ignored) ? profile.string() : "";
}

}  // namespace gaze::cli
