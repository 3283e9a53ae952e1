// SPDX-License-Identifier: MIT
// Operators of torch in one program of three ways, argument of one length: no attach, one that stays off, one that is
// on with no request open. Under callgrind the instructions of each operator are dumped by its name.
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <valgrind/callgrind.h>
#include <gaze/hooks/dispatcher.hpp>

#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: dispatcher_cost pristine|dormant_|attached\n");
    return 2;
  }
  const c10::InferenceMode inference;
  gaze::Gaze gaze;
  if (argv[1] != std::string("pristine")) {
    gaze::Options options;
    options.read_environment = false;
    options.capture = argv[1] == std::string("attached");
    options.log = "off";
    gaze = gaze::attach_dispatcher(options);
    if (gaze.enabled() != options.capture) return 1;
  }
  const at::Tensor a = at::ones({8}), b = at::ones({8}), to = at::empty({8});
  const at::Tensor q = at::ones({1, 2, 1, 8}), k = at::ones({1, 2, 4, 8});
  const at::Tensor weights = at::ones({2, 1, 4}), values = at::ones({2, 4, 8});
  const std::vector<std::pair<const char*, std::function<void()>>> operators = {
      {"add", [&] { a.add(b); }},
      {"relu", [&] { a.relu(); }},
      {"linear", [&] { at::linear(weights[0], values[0].t()); }},
      {"softmax", [&] { at::_softmax(weights, -1, false); }},
      {"bmm", [&] { at::bmm(weights, values); }},
      {"copy_", [&] { to.copy_(a); }},
      {"mul", [&] { a.mul(b); }},
      {"attention", [&] { at::_scaled_dot_product_flash_attention_for_cpu(q, k, k); }},
  };
  for (const auto& [name, call] : operators) {
    for (int warm = 0; warm < 50; ++warm) call();
    CALLGRIND_START_INSTRUMENTATION;
    for (int n = 0; n < 200; ++n) call();
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(name);
  }
  return 0;
}
