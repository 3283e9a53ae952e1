// SPDX-License-Identifier: MIT
// What differs between LibTorch versions, or has no public way in.
#pragma once

#include <torch/csrc/jit/api/function_impl.h>

#include <array>
#include <optional>

namespace gaze {

using Executors = std::array<std::optional<torch::jit::GraphExecutor>, 4>;
Executors& executors_of(torch::jit::GraphFunction& function);

// An explicit instantiation may name a private member. get_executor() would make the executor whose absence is asked
// for.
template <Executors torch::jit::GraphFunction::*Member>
struct ExecutorsAccess {
  friend Executors& executors_of(torch::jit::GraphFunction& function) { return function.*Member; }
};
template struct ExecutorsAccess<&torch::jit::GraphFunction::executors_>;

/// Whether an executor, which ignores later edits of the graph, exists.
inline bool has_run(torch::jit::GraphFunction& function) {
  for (const auto& executor : executors_of(function)) {
    if (executor.has_value()) return true;
  }
  return false;
}

}  // namespace gaze
