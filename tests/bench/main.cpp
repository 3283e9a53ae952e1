// SPDX-License-Identifier: MIT
// gaze_bench: measures Gaze against what people would do without it. docs/performance.md says how to read the lines.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "harness.hpp"
#include "report.hpp"

namespace gaze_bench {
namespace {

Settings& changeable() {
  static Settings made;
  return made;
}

constexpr const char* kUsage =
    "gaze_bench's own flags, before Google Benchmark's:\n"
    "  --device=cpu|cuda  where the work is done (cpu)\n"
    "  --gates            judge every gate at the end; exit with 1 on a miss\n"
    "  --markdown=FILE    write environment and tables\n"
    "  --python=PROGRAM   python3 with matplotlib, for the line against it\n"
    "  --rounds=N         interleaved rounds of a line (41)\n"
    "  --smoke            one round of everything, of SDXL with 256 queries\n";

/// Takes our flags out of the command line. @return false when one was not understood
bool take_flags(std::vector<char*>& arguments) {
  Settings& made = changeable();
  std::vector<char*> others{arguments[0]};
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    made.command += (i == 0 ? "" : " ") + (i == 0 ? argument.substr(argument.rfind('/') + 1) : argument);
    if (i == 0) continue;
    const auto value = [&](const std::string& flag) {
      return argument.rfind(flag + "=", 0) == 0 ? argument.substr(flag.size() + 1) : std::string();
    };
    if (argument == "--gates") {
      made.gates = true;
    } else if (argument == "--smoke") {
      made.smoke = true;
    } else if (argument == "--device=cpu" || argument == "--device=cuda") {
      made.device = argument == "--device=cpu" ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, 0);
    } else if (!value("--markdown").empty()) {
      made.markdown = value("--markdown");
    } else if (!value("--python").empty()) {
      made.python = value("--python");
    } else if (const std::string rounds = value("--rounds"); std::atoi(rounds.c_str()) > 0) {
      made.rounds = std::atoi(rounds.c_str());
    } else if (argument.rfind("--benchmark_", 0) == 0 || argument.rfind("--v=", 0) == 0) {
      others.push_back(arguments[i]);
    } else {
      std::fprintf(stderr, "gaze_bench: %s not understood.\n%s", argument.c_str(), kUsage);
      return false;
    }
  }
  arguments = others;
  return true;
}

}  // namespace

const Settings& settings() { return changeable(); }

}  // namespace gaze_bench

int main(int argc, char** argv) {
  using namespace gaze_bench;
  std::vector<char*> arguments(argv, argv + argc);
  if (!take_flags(arguments)) return 2;
  const std::string load_before = load_average();
  thread_counts();  // before any line changes it
  // LibTorch's CUDA part registers itself when it is loaded; without it every line says that there is no device.
  if (settings().device.is_cuda()) dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  add_overlay_lines();
  add_rows_lines();
  add_sound_lines();
  add_speech_lines();
  add_decoder_lines();
#ifdef GAZE_WITH_OPENCV
  add_files_lines();
  add_answer_lines();
#endif
  int others = static_cast<int>(arguments.size());
  benchmark::Initialize(&others, arguments.data());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (!settings().markdown.empty() && !write_markdown(settings().markdown, load_before)) {
    std::fprintf(stderr, "gaze_bench: cannot write %s\n", settings().markdown.c_str());
    return 2;
  }
  const bool missed = settings().gates && !print_gates();
  return missed || any_error() ? 1 : 0;
}
