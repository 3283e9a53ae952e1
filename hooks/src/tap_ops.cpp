// SPDX-License-Identifier: MIT
#include "tap_ops.hpp"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <mutex>

#include "instrument.hpp"
#include "request_state.hpp"

namespace gaze {
namespace {

// All of them hand their first argument through: dead code stays dead, the host's data flow stays ordinary.

at::Tensor tap(const at::Tensor& weights, int64_t site) {
  if (RequestState* request = RequestState::current(instrumented_of(site))) request->push(index_of(site), weights);
  return weights;
}

at::Tensor observe(const at::Tensor& out, const at::Tensor& q, const at::Tensor& k,
                   const std::optional<at::Tensor>& mask, double /*dropout*/, bool causal, std::optional<double> scale,
                   bool /*gqa*/, int64_t site) {
  if (RequestState* request = RequestState::current(instrumented_of(site))) {
    request->push(index_of(site), ops::Scores{q, k, mask, causal, scale});
  }
  return out;
}

/// The tensor lives until the frame of the interpreter ends, by return or by exception.
at::Tensor enter(int64_t method) { return RequestState::enter(instrumented_of(method), index_of(method)); }

at::Tensor offer(const at::Tensor& input, const at::Tensor& /*frame*/, int64_t argument) {
  if (RequestState* request = RequestState::current(instrumented_of(argument)))
    request->offer_picture(index_of(argument), input);
  return input;
}

void leave(const at::Tensor& frame) { RequestState::leave(frame); }

}  // namespace

void register_tap_ops() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Leaked: unregistering at exit would race with the host's threads.
    auto* definitions = new torch::Library(torch::Library::FRAGMENT, "gaze", std::nullopt, __FILE__, __LINE__);
    definitions->def("tap(Tensor(a) weights, int site) -> Tensor(a)");
    definitions->def(
        "observe(Tensor(a) out, Tensor q, Tensor k, Tensor? mask, float p, bool causal, float? scale, bool gqa, int "
        "site) -> Tensor(a)");
    definitions->def("offer(Tensor(a) input, Tensor frame, int argument) -> Tensor(a)");
    // Conservative: without outputs or tensors to depend on they would be folded or deleted.
    definitions->def(torch::schema("enter(int method) -> Tensor", c10::AliasAnalysisKind::CONSERVATIVE));
    definitions->def(torch::schema("leave(Tensor frame) -> ()", c10::AliasAnalysisKind::CONSERVATIVE));
    auto* kernels = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::CompositeExplicitAutograd,
                                       __FILE__, __LINE__);
    kernels->impl("tap", &tap);
    kernels->impl("observe", &observe);
    kernels->impl("offer", &offer);
    kernels->impl("enter", &enter);
    kernels->impl("leave", &leave);
    auto* autograd = new torch::Library(torch::Library::IMPL, "gaze", c10::DispatchKey::Autograd, __FILE__, __LINE__);
    for (const char* name : {"tap", "observe", "offer", "leave"})
      autograd->impl(name, torch::CppFunction::makeFallthrough());
  });
}

}  // namespace gaze
