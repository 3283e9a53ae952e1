// SPDX-License-Identifier: MIT
#include "dispatcher/attention_taps.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_masked_softmax_ops.h>
#include <ATen/ops/_safe_softmax_ops.h>
#include <ATen/ops/_softmax_ops.h>
#include <ATen/ops/baddbmm_ops.h>
#include <ATen/ops/bmm_ops.h>
#include <ATen/ops/copy_ops.h>
#include <ATen/ops/div_ops.h>
#include <ATen/ops/mul_ops.h>
#include <torch/library.h>
#include <gaze/render/status.hpp>

#include <mutex>
#include <optional>
#include <string>

#include "dispatcher/fused_taps.hpp"
#include "dispatcher/inside_operators.hpp"
#include "dispatcher/marked_weights.hpp"
#include "request/call_frames.hpp"
#include "request/numbered_calls.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"

namespace gaze {
namespace {

int64_t size_from_end(const at::Tensor& tensor, int64_t axis) noexcept {
  return tensor.dim() >= axis ? tensor.size(tensor.dim() - axis) : 0;
}

/// @param weights  the operand that a softmax's result is, in the sizes that the product wants
void push_weights(BoundRequest& bound, const at::Tensor& weights, const MarkedWeights::Sizes& sizes,
                  const at::Tensor& values) noexcept {
  if (!is_real(weights)) return;
  try {
    const Hidden hidden;
    int64_t elements = 1;
    for (const int64_t size : sizes) elements *= size;
    // A product of three dimensions has batch and heads in one.
    const bool whole = sizes.size() == 4 && weights.is_contiguous() && weights.numel() == elements;
    const at::Tensor attn = whole ? weights.view(sizes) : weights;
    const int64_t site = site_of_numbered(bound, {.heads = whole ? sizes[1] : 0,
                                                  .head_size = size_from_end(values, 1),
                                                  .queries = size_from_end(attn, 2),
                                                  .keys = size_from_end(attn, 1),
                                                  .weights = true});
    if (site >= 0) push_call(bound, site, attn, WeightsLayout{.heads = bound.recorder->sites[site].heads});
  } catch (...) {  // as above
  }
}

void see_product(const at::Tensor& weights, const at::Tensor& values) noexcept {
  BoundRequest* const bound = wanted_here();
  if (bound == nullptr) return;
  const MarkedWeights::Sizes* const sizes = MarkedWeights::find(weights);
  if (sizes != nullptr && size_from_end(weights, 1) == sizes->back()) push_weights(*bound, weights, *sizes, values);
}

void see_softmax(const at::Tensor& weights, int64_t axis) noexcept {
  if (wanted_here() == nullptr || !weights.defined() || weights.dim() < 2) return;
  if (axis == -1 || axis == weights.dim() - 1) MarkedWeights::mark(weights, weights.sizes());
}

void see_carried(const at::Tensor& from, const at::Tensor& to) noexcept {
  if (wanted_here() != nullptr) MarkedWeights::carry(from, to);
}

// ---- kernels: each hands its call on as it is

at::Tensor softmax(c10::DispatchKeySet keys, const at::Tensor& self, int64_t axis, bool half_to_float) {
  at::Tensor weights = at::_ops::_softmax::redispatch(behind(keys), self, axis, half_to_float);
  see_softmax(weights, axis);
  return weights;
}

at::Tensor safe_softmax(c10::DispatchKeySet keys, const at::Tensor& self, int64_t axis,
                        std::optional<at::ScalarType> dtype) {
  at::Tensor weights = at::_ops::_safe_softmax::redispatch(behind(keys), self, axis, dtype);
  see_softmax(weights, axis);
  return weights;
}

at::Tensor masked_softmax(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& mask,
                          std::optional<int64_t> axis, std::optional<int64_t> mask_type) {
  at::Tensor weights = at::_ops::_masked_softmax::redispatch(behind(keys), self, mask, axis, mask_type);
  see_softmax(weights, axis.value_or(-1));
  return weights;
}

at::Tensor bmm(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& other) {
  see_product(self, other);
  return at::_ops::bmm::redispatch(behind(keys), self, other);
}

at::Tensor& bmm_out(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  see_product(self, other);
  return at::_ops::bmm_out::redispatch(behind(keys), self, other, out);
}

at::Tensor baddbmm(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& first, const at::Tensor& second,
                   const at::Scalar& beta, const at::Scalar& alpha) {
  see_product(first, second);
  return at::_ops::baddbmm::redispatch(behind(keys), self, first, second, beta, alpha);
}

at::Tensor& copy(c10::DispatchKeySet keys, at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  at::Tensor& to = at::_ops::copy_::redispatch(behind(keys), self, from, non_blocking);
  see_carried(from, to);
  return to;
}

at::Tensor mul(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& by) {
  at::Tensor result = at::_ops::mul_Tensor::redispatch(behind(keys), self, by);
  see_carried(self, result);
  return result;
}

at::Tensor div(c10::DispatchKeySet keys, const at::Tensor& self, const at::Tensor& by) {
  at::Tensor result = at::_ops::div_Tensor::redispatch(behind(keys), self, by);
  see_carried(self, result);
  return result;
}

/// @throws gaze::Error where somebody else's kernel stands there
void check_free(const char* name, const char* overload = "") {
  const auto op = c10::Dispatcher::singleton().findSchema({std::string("aten::") + name, overload});
  if (!op || !op->hasKernelForDispatchKey(kTapKey)) return;
  throw Error("attach_dispatcher: expected aten::" + std::string(name) +
              " without a kernel at BackendSelect, got one of another library's. Load one of them only.");
}

}  // namespace

void register_attention_taps() {
  static std::mutex mutex;
  static torch::Library* library = nullptr;  // leaked
  const std::lock_guard<std::mutex> lock(mutex);
  if (library != nullptr) return;
  for (const char* name : fused_names()) check_free(name);
  for (const char* name : {"_softmax", "_safe_softmax", "_masked_softmax", "bmm", "baddbmm", "copy_"}) check_free(name);
  check_free("bmm", "out");
  check_free("mul", "Tensor");
  check_free("div", "Tensor");
  library = new torch::Library(torch::Library::IMPL, "aten", kTapKey, __FILE__, __LINE__);
  register_fused_taps(*library);
  library->impl("_softmax", TORCH_FN(softmax));
  library->impl("_safe_softmax", TORCH_FN(safe_softmax));
  library->impl("_masked_softmax", TORCH_FN(masked_softmax));
  library->impl("bmm", TORCH_FN(bmm));
  library->impl("bmm.out", TORCH_FN(bmm_out));
  library->impl("baddbmm", TORCH_FN(baddbmm));
  library->impl("copy_", TORCH_FN(copy));
  library->impl("mul.Tensor", TORCH_FN(mul));
  library->impl("div.Tensor", TORCH_FN(div));
}

}  // namespace gaze
