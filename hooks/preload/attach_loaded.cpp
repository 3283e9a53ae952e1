// SPDX-License-Identifier: MIT
// libgaze_loaded.so, which libgaze_preload.so opens with the first module that a host loads.
#include <torch/csrc/jit/api/module.h>
#include <gaze/gaze.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <vector>

#include "delivery/worker.hpp"

namespace {

struct Attached {
  std::mutex mutex;
  std::vector<c10::TypePtr> types;  // of modules that were looked at
  std::vector<gaze::Gaze> handles;
};
// Leaked: a host may load modules until the very end.
Attached& attached() {
  static auto* const all = new Attached;
  return *all;
}

/// What is finished is still written; a process must end all the same.
void write_rest() {
  Attached& all = attached();
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (gaze::Gaze& each : all.handles) each.flush(std::chrono::seconds(5));
}

void attach_loaded(torch::jit::Module& module, const char* file) {
  Attached& all = attached();
  const std::lock_guard<std::mutex> lock(all.mutex);
  // One loading function calls another.
  if (std::find(all.types.begin(), all.types.end(), module.type()) != all.types.end()) return;
  all.types.push_back(module.type());
  if (module.get_methods().empty()) return;
  gaze::Options options;
  options.model_path = file;
  try {
    if (gaze::find_sites(module).sites.empty()) return;
    gaze::Gaze gaze = gaze::attach(module, options);
    if (!gaze.enabled()) return;
    if (all.handles.empty()) gaze::before_workers_end(&write_rest);
    all.handles.push_back(std::move(gaze));
  } catch (const gaze::Error& error) {
    std::fprintf(stderr, "[gaze] preload: %s is left alone: %s\n", *file != 0 ? file : "a module", error.what());
  }
}

}  // namespace

/// @param module  a torch::jit::Module that was just loaded
/// @param file    empty: it came from memory
extern "C" GAZE_API void gaze_attach_loaded(void* module, const char* file) noexcept {
  try {
    attach_loaded(*static_cast<torch::jit::Module*>(module), file);
  } catch (...) {  // the host's module is as it was
  }
}
