// SPDX-License-Identifier: MIT
#include "dispatcher/attention_taps.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/ops/_masked_softmax_ops.h>
#include <ATen/ops/_safe_softmax_ops.h>
#include <ATen/ops/_softmax_ops.h>
#include <ATen/ops/baddbmm_ops.h>
#include <ATen/ops/bmm_ops.h>
#include <ATen/ops/copy_ops.h>
#include <ATen/ops/div_ops.h>
#include <ATen/ops/mul_ops.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>
#include <gaze/render/status.hpp>

#include <array>
#include <mutex>
#include <optional>
#include <string>

#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"
#include "dispatcher/marked_weights.hpp"
#include "request/call_frames.hpp"
#include "request/numbered_calls.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"

namespace gaze {
namespace {

// Below autograd, autocast and functorch, and just above the kernels of a device: what arrives here is what is
// computed. Every thread looks at this key, and where nothing stands an operator is not slowed down.
constexpr c10::DispatchKey kKey = c10::DispatchKey::BackendSelect;

c10::DispatchKeySet behind(c10::DispatchKeySet keys) {
  return keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kKey);
}

/// What a tap computes is none of the host's: nothing records, differentiates or traces it.
struct Hidden {
  InsideTap inside;
  at::NoGradGuard no_grad;
  at::DisableRecordFunctionGuard unrecorded;
};

/// What a compiler or functorch runs an operator over is no attention of a model.
bool is_real(const at::Tensor& tensor) noexcept { return is_plain(tensor) && (tensor.is_cpu() || tensor.is_cuda()); }

int64_t size_from_end(const at::Tensor& tensor, int64_t axis) noexcept {
  return tensor.dim() >= axis ? tensor.size(tensor.dim() - axis) : 0;
}

void push_scores(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask, bool causal,
                 std::optional<double> scale) noexcept {
  BoundRequest* const bound = wants_numbered();
  if (bound == nullptr || !is_real(q) || !is_real(k) || q.dim() != 4 || k.dim() != 4) return;
  try {
    const Hidden hidden;
    const int64_t site =
        site_of_numbered(*bound, {.heads = q.size(1), .head_size = q.size(3), .queries = q.size(2), .keys = k.size(2)});
    if (site >= 0) push_call(*bound, site, ops::Scores{q, k, mask, causal, scale});
  } catch (...) {  // what is captured fails with a reason of its own, further down
  }
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
  BoundRequest* const bound = wants_numbered();
  if (bound == nullptr) return;
  const MarkedWeights::Sizes* const sizes = MarkedWeights::find(weights);
  if (sizes != nullptr && size_from_end(weights, 1) == sizes->back()) push_weights(*bound, weights, *sizes, values);
}

void see_softmax(const at::Tensor& weights, int64_t axis) noexcept {
  if (wants_numbered() == nullptr || !weights.defined() || weights.dim() < 2) return;
  if (axis == -1 || axis == weights.dim() - 1) MarkedWeights::mark(weights, weights.sizes());
}

void see_carried(const at::Tensor& from, const at::Tensor& to) noexcept {
  if (wants_numbered() != nullptr) MarkedWeights::carry(from, to);
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

// ---- fused attention: boxed, by the names of its arguments, which differ between operators and versions

struct FusedOp {
  const char* name;
  int64_t q = -1, k = -1, mask = -1, causal = -1, scale = -1;  // arguments
};
std::array<FusedOp, 5> fused_ops = {{{"_scaled_dot_product_flash_attention_for_cpu"},
                                     {"_scaled_dot_product_flash_attention"},
                                     {"_scaled_dot_product_efficient_attention"},
                                     {"_scaled_dot_product_cudnn_attention"},
                                     {"_scaled_dot_product_fused_attention_overrideable"}}};

template <size_t Number>
void fused(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  if (!NumberedCalls::wanted() || wants_numbered() == nullptr) return op.redispatchBoxed(behind(keys), stack);
  const FusedOp& known = fused_ops[Number];
  const auto arguments = torch::jit::last(*stack, op.schema().arguments().size());
  const at::Tensor q = arguments[static_cast<size_t>(known.q)].toTensor();
  const at::Tensor k = arguments[static_cast<size_t>(known.k)].toTensor();
  std::optional<at::Tensor> mask;
  if (known.mask >= 0 && arguments[static_cast<size_t>(known.mask)].isTensor())
    mask = arguments[static_cast<size_t>(known.mask)].toTensor();
  const bool causal = known.causal >= 0 && arguments[static_cast<size_t>(known.causal)].toBool();
  std::optional<double> scale;
  if (known.scale >= 0) scale = arguments[static_cast<size_t>(known.scale)].toOptional<double>();
  op.redispatchBoxed(behind(keys), stack);
  push_scores(q, k, mask, causal, scale);
}

/// False: this torch has no such operator, or one of other arguments.
bool find_arguments(const c10::FunctionSchema& schema, FusedOp& op) {
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const std::string& name = schema.arguments()[i].name();
    const auto at = static_cast<int64_t>(i);
    if (name == "query") op.q = at;
    if (name == "key") op.k = at;
    if (name == "attn_mask" || name == "attn_bias") op.mask = at;
    if (name == "is_causal") op.causal = at;
    if (name == "scale") op.scale = at;
  }
  return op.q >= 0 && op.k >= 0;
}

std::optional<c10::OperatorHandle> operator_of(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchema({std::string("aten::") + name, overload});
}

/// @throws gaze::Error where somebody else's kernel stands there
void check_free(const char* name, const char* overload) {
  const auto op = operator_of(name, overload);
  if (!op || !op->hasKernelForDispatchKey(kKey)) return;
  throw Error("attach_dispatcher: expected aten::" + std::string(name) +
              " without a kernel at BackendSelect, got one of another library's. Load one of them only.");
}

template <size_t... Numbers>
void register_fused(torch::Library& library, std::index_sequence<Numbers...>) {
  const auto add = [&](FusedOp& op, auto kernel) {
    const auto found = operator_of(op.name, "");
    if (found && find_arguments(found->schema(), op)) library.impl(op.name, std::move(kernel));
  };
  (add(fused_ops[Numbers], torch::CppFunction::makeFromBoxedFunction<&fused<Numbers>>()), ...);
}

}  // namespace

void register_attention_taps() {
  static std::mutex mutex;
  static torch::Library* library = nullptr;  // leaked
  const std::lock_guard<std::mutex> lock(mutex);
  if (library != nullptr) return;
  for (const FusedOp& op : fused_ops) check_free(op.name, "");
  for (const char* name : {"_softmax", "_safe_softmax", "_masked_softmax", "bmm", "baddbmm", "copy_"})
    check_free(name, "");
  check_free("bmm", "out");
  check_free("mul", "Tensor");
  check_free("div", "Tensor");
  library = new torch::Library(torch::Library::IMPL, "aten", kKey, __FILE__, __LINE__);
  register_fused(*library, std::make_index_sequence<fused_ops.size()>());
  library->impl("_softmax", &softmax);
  library->impl("_safe_softmax", &safe_softmax);
  library->impl("_masked_softmax", &masked_softmax);
  library->impl("bmm", &bmm);
  library->impl("bmm.out", &bmm_out);
  library->impl("baddbmm", &baddbmm);
  library->impl("copy_", &copy);
  library->impl("mul.Tensor", &mul);
  library->impl("div.Tensor", &div);
}

}  // namespace gaze
