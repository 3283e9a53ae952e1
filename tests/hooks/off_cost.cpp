// SPDX-License-Identifier: MIT
// One program, two ways, argument of one length: without attach, and attached under the environment's switches.
// Under callgrind the instructions of the measured calls of each model must be equal; the graphs' texts are printed for
// comparison.
#include <torch/csrc/jit/runtime/profiling_graph_executor_impl.h>
#include <torch/script.h>
#include <valgrind/callgrind.h>
#include <gaze/gaze.hpp>

#include <cstdio>
#include <string>

namespace {

/// @return false when capture is on
bool measure(const char* file, bool attached) {
  torch::jit::Module module = torch::jit::load(file);
  gaze::Gaze gaze;
  if (attached) gaze = gaze::attach(module);
  const std::vector<c10::IValue> inputs{at::ones({2, 3, 16}), at::ones({2, 6, 16})};
  for (int warm = 0; warm < 20; ++warm) module.forward(inputs);
  CALLGRIND_START_INSTRUMENTATION;
  for (int call = 0; call < 50; ++call) module.forward(inputs);
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS;
  const auto& function = torch::jit::toGraphFunction(module.get_method("forward").function());
  std::printf("%s%s", function.graph()->toString(false).c_str(), function.optimized_graph()->toString(false).c_str());
  return !gaze.enabled();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: off_cost pristine|attached MODEL.pt...\n");
    return 2;
  }
  torch::jit::getProfilingMode() = false;  // the profiling executor looks at addresses
  const at::NoGradGuard no_grad;
  for (int i = 2; i < argc; ++i) {
    if (!measure(argv[i], std::string(argv[1]) == "attached")) return 1;
  }
  return 0;
}
