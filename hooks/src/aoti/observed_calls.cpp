// SPDX-License-Identifier: MIT
#include "aoti/observed_calls.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <gaze/render/status.hpp>

#include <utility>

#include "aoti/attention_shims.hpp"
#include "aoti/observers.hpp"

namespace gaze {
namespace {

void see_observed_weights(const at::Tensor& weights, std::string_view site, bool scaled) noexcept {
  const void* const caller = CalledFrom::here();
  if (PackageCalls* const calls = package_at(caller)) calls->see_observed(caller, site, weights, scaled);
}

void see_observed_scores(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask, bool causal,
                         std::optional<double> scale, std::string_view site) noexcept {
  const void* const caller = CalledFrom::here();
  if (PackageCalls* const calls = package_at(caller)) calls->see_observed(caller, site, {q, k, mask, causal, scale});
}

/// Null: not loaded, or not as this library knows it.
Observers* observers() {
  const auto op = c10::Dispatcher::singleton().findSchema({"gaze::observers", ""});
  if (!op) return nullptr;
  return reinterpret_cast<Observers*>(op->typed<int64_t(int64_t)>().call(Observers::kVersion));
}

template <class Function>
bool set(std::atomic<Function>& to, Function function) {
  Function before = nullptr;
  return to.compare_exchange_strong(before, function) || before == function;
}

}  // namespace

void listen_to_observers() {
  Observers* const table = observers();
  if (table == nullptr) {
    throw Error(
        "attach: expected the libgaze_observe.so of this Gaze, which the package was loaded with, got another one's. "
        "Load that which lies beside libgaze_hooks.so.");
  }
  if (!set<Observers::Weights>(table->weights, &see_observed_weights) ||
      !set<Observers::Scores>(table->scores, &see_observed_scores)) {
    throw Error(
        "attach: expected a process with one copy of Gaze that attaches packages, got a second. Attach by the first.");
  }
}

}  // namespace gaze
