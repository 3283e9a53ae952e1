// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <unistd.h>
#include <gaze/gaze.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "console.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

/// Beside the library that this program is linked with.
std::string preload_library() {
  Dl_info found = {};
  gaze::Gaze (*const of)(torch::jit::Module&, Options, const std::vector<c10::IValue>*) = &gaze::attach;
  if (dladdr(reinterpret_cast<const void*>(of), &found) == 0 || found.dli_fname == nullptr) return {};
  const auto file = std::filesystem::absolute(found.dli_fname).parent_path() / "libgaze_preload.so";
  return std::filesystem::exists(file) ? file.string() : std::string();
}

}  // namespace

int preload(const PreloadArguments& arguments) {
  std::string library = preload_library();
  if (library.empty())
    throw Refusal("preload: expected libgaze_preload.so beside libgaze_hooks.so, found none. Install Gaze whole.");
  if (const char* const others = std::getenv("LD_PRELOAD"); others != nullptr && *others != 0)
    library += std::string(":") + others;
  setenv("LD_PRELOAD", library.c_str(), 1);
  setenv("GAZE_CAPTURE", "1", 0);
  setenv("GAZE_LOG", "info", 0);
  std::vector<char*> words;
  for (const std::string& word : arguments.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words.front(), words.data());
  throw Refusal("preload: expected a program, got " + arguments.command.front() + ": " + std::strerror(errno) + ".");
}

}  // namespace gaze::cli
