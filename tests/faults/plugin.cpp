// SPDX-License-Identifier: MIT
// A plugin that links Gaze and is closed while its bundles are drawn.
#include <cstring>

#include "work.hpp"

namespace {
std::unique_ptr<gaze::Gaze> kept;  // destroyed by dlclose
}

extern "C" __attribute__((visibility("default"))) void gaze_plugin_start(const char* how, const char* folder) {
  const at::NoGradGuard no_grad;
  torch::jit::Module model = gaze::test::null_model();
  kept = std::make_unique<gaze::Gaze>(gaze::test::attach_busy(model, folder));
  gaze::test::keep_busy(*kept, model, 1);
  if (std::strcmp(how, "dlclose-leaked") == 0) kept.release();
}
