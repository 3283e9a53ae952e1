// SPDX-License-Identifier: MIT
#include "tap_ops.hpp"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <mutex>

#include "instrument.hpp"
#include "key_watch.hpp"
#include "request_state.hpp"

namespace gaze {
namespace {

// All of them hand their first argument through: dead code stays dead, the host's data flow stays ordinary.

at::Tensor tap(const at::Tensor& weights, int64_t query_axis, int64_t key_axis, int64_t heads, bool partial,
               int64_t site) {
  if (RequestState* request = RequestState::current(instrumented_of(site))) {
    request->push(index_of(site), weights, {query_axis, key_axis, heads, partial});
  }
  return weights;
}

at::Tensor observe(const at::Tensor& out, const at::Tensor& q, const at::Tensor& k,
                   const std::optional<at::Tensor>& mask, bool causal, std::optional<double> scale, int64_t site) {
  if (RequestState* request = RequestState::current(instrumented_of(site))) {
    request->push(index_of(site), ops::Scores{q, k, mask, causal, scale});
  }
  return out;
}

at::Tensor observe_packed(const at::Tensor& out, const at::Tensor& q_input, const at::Tensor& k_input,
                          const at::Tensor& weight, const std::optional<at::Tensor>& bias, int64_t heads,
                          const std::optional<at::Tensor>& mask, std::optional<int64_t> mask_type, bool norm_first,
                          const std::optional<at::Tensor>& norm_weight, const std::optional<at::Tensor>& norm_bias,
                          double eps, int64_t site) {
  if (RequestState* request = RequestState::current(instrumented_of(site))) {
    request->push(index_of(site), PackedAttention{q_input, k_input, weight, bias, heads, mask, mask_type, norm_first,
                                                  norm_weight, norm_bias, eps});
  }
  return out;
}

/// The tensor lives until the frame of the interpreter ends, by return or by exception.
at::Tensor enter(int64_t method) { return RequestState::enter(instrumented_of(method), index_of(method)); }

at::Tensor offer(const at::Tensor& input, const at::Tensor& /*frame*/, int64_t argument) {
  if (RequestState* request = RequestState::current(instrumented_of(argument)))
    request->offer(index_of(argument), input);
  return input;
}

void leave(const at::Tensor& frame) { RequestState::leave(frame); }

/// In the graphs of a probe only.
at::Tensor keys(const at::Tensor& k, int64_t key_axis, int64_t watch, int64_t site) {
  KeyWatch::show(watch, site, k, key_axis);
  return k;
}

}  // namespace

void register_tap_ops() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Leaked: unregistering at exit would race with the host's threads.
    auto* definitions = new torch::Library(torch::Library::FRAGMENT, "gaze", std::nullopt, __FILE__, __LINE__);
    definitions->def(
        "tap(Tensor(a) weights, int query_axis, int key_axis, int heads, bool partial, int site) -> Tensor(a)");
    definitions->def(
        "observe(Tensor(a) out, Tensor q, Tensor k, Tensor? mask, bool causal, float? scale, int site) -> Tensor(a)");
    definitions->def(
        "observe_packed(Tensor(a) out, Tensor q_input, Tensor k_input, Tensor weight, Tensor? bias, int heads, "
        "Tensor? mask, int? mask_type, bool norm_first, Tensor? norm_weight, Tensor? norm_bias, float eps, int site) "
        "-> Tensor(a)");
    definitions->def("offer(Tensor(a) input, Tensor frame, int argument) -> Tensor(a)");
    definitions->def("keys(Tensor(a) k, int key_axis, int watch, int site) -> Tensor(a)");
    // Conservative: without outputs or tensors to depend on they would be folded or deleted.
    definitions->def(torch::schema("enter(int method) -> Tensor", c10::AliasAnalysisKind::CONSERVATIVE));
    definitions->def(torch::schema("leave(Tensor frame) -> ()", c10::AliasAnalysisKind::CONSERVATIVE));
    auto* kernels = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::CompositeExplicitAutograd,
                                       __FILE__, __LINE__);
    kernels->impl("tap", &tap);
    kernels->impl("observe", &observe);
    kernels->impl("observe_packed", &observe_packed);
    kernels->impl("offer", &offer);
    kernels->impl("keys", &keys);
    kernels->impl("enter", &enter);
    kernels->impl("leave", &leave);
    auto* autograd = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::Autograd, __FILE__, __LINE__);
    for (const char* name : {"tap", "observe", "observe_packed", "offer", "keys", "leave"})
      autograd->impl(name, torch::CppFunction::makeFallthrough());
  });
}

}  // namespace gaze
