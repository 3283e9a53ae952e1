// SPDX-License-Identifier: MIT
// What differs between LibTorch versions, or has no public way in.
#pragma once

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

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

/// Graphs are optimised while it lives, as torch's own guard does, which ends the process when memory is gone: it
/// allocates in its destructor. Here nothing is set where nothing changes.
class OptimiseGraphs {
 public:
  OptimiseGraphs() : before_(torch::jit::getGraphExecutorOptimize()) {
    if (!before_) torch::jit::setGraphExecutorOptimize(true);
  }
  ~OptimiseGraphs() {
    if (before_) return;
    try {
      torch::jit::setGraphExecutorOptimize(false);
    } catch (...) {  // graphs of this thread stay optimised
    }
  }
  OptimiseGraphs(const OptimiseGraphs&) = delete;
  OptimiseGraphs& operator=(const OptimiseGraphs&) = delete;

 private:
  const bool before_;
};

}  // namespace gaze
