// SPDX-License-Identifier: MIT
#include "torchscript/tap_ops.hpp"

#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/custom_class.h>

#include <mutex>

#include "capture/key_observer.hpp"
#include "request/attached_model.hpp"
#include "request/call_frames.hpp"
#include "request/request_binding.hpp"

namespace gaze {
namespace {

using torch::jit::drop;
using torch::jit::peek;
using torch::jit::Stack;

// TorchScript's own operators, which the interpreter calls with its stack as it is: through the dispatcher every kind
// of tensor that we name no kernel for (nested, sparse, quantized, wrapped, ...) would end the host's call. Those that
// hand something through leave their first argument where it is: dead code stays dead, the data flow stays ordinary.

/// `Look` sees all of `Arguments`, and nothing of it reaches the host.
template <size_t Arguments, void (*Look)(const Stack& stack)>
void pass(Stack& stack) noexcept {
  try {
    Look(stack);
  } catch (...) {  // what is captured fails with a reason of its own, further down
  }
  drop(stack, Arguments - 1);
}

std::optional<at::Tensor> tensor_or_none(const c10::IValue& value) {
  return value.isTensor() ? std::optional<at::Tensor>(value.toTensor()) : std::nullopt;
}

constexpr size_t kTap = 6;
constexpr const char* kTapSchema =
    "gaze::tap(Tensor(a) weights, int query_axis, int key_axis, int heads, bool partial, int site) -> Tensor(a)";

void tap(const Stack& stack) {
  const int64_t site = peek(stack, 5, kTap).toInt();
  BoundRequest* bound = bound_to(attached_model_of(site));
  if (bound == nullptr) return;
  const at::Tensor& weights = peek(stack, 0, kTap).toTensor();
  const WeightsLayout layout{peek(stack, 1, kTap).toInt(), peek(stack, 2, kTap).toInt(), peek(stack, 3, kTap).toInt(),
                             peek(stack, 4, kTap).toBool()};
  push_call(*bound, index_of(site), weights, layout);
}

constexpr size_t kObserve = 7;
constexpr const char* kObserveSchema =
    "gaze::observe(Tensor(a) out, Tensor q, Tensor k, Tensor? mask, bool causal, float? scale, int site) -> Tensor(a)";

void observe(const Stack& stack) {
  const int64_t site = peek(stack, 6, kObserve).toInt();
  BoundRequest* bound = bound_to(attached_model_of(site));
  if (bound == nullptr) return;
  const at::Tensor& q = peek(stack, 1, kObserve).toTensor();
  const at::Tensor& k = peek(stack, 2, kObserve).toTensor();
  push_call(*bound, index_of(site),
            ops::Scores{q, k, tensor_or_none(peek(stack, 3, kObserve)), peek(stack, 4, kObserve).toBool(),
                        peek(stack, 5, kObserve).toOptional<double>()});
}

constexpr size_t kObservePacked = 13;
constexpr const char* kObservePackedSchema =
    "gaze::observe_packed(Tensor(a) out, Tensor q_input, Tensor k_input, Tensor weight, Tensor? bias, int heads, "
    "Tensor? mask, int? mask_type, bool norm_first, Tensor? norm_weight, Tensor? norm_bias, float eps, int site) "
    "-> Tensor(a)";

void observe_packed(const Stack& stack) {
  const int64_t site = peek(stack, 12, kObservePacked).toInt();
  BoundRequest* bound = bound_to(attached_model_of(site));
  if (bound == nullptr) return;
  const auto tensor = [&](size_t at) -> const at::Tensor& { return peek(stack, at, kObservePacked).toTensor(); };
  const auto optional = [&](size_t at) { return tensor_or_none(peek(stack, at, kObservePacked)); };
  push_call(
      *bound, index_of(site),
      PackedAttention{tensor(1), tensor(2), tensor(3), optional(4), peek(stack, 5, kObservePacked).toInt(), optional(6),
                      peek(stack, 7, kObservePacked).toOptional<int64_t>(), peek(stack, 8, kObservePacked).toBool(),
                      optional(9), optional(10), peek(stack, 11, kObservePacked).toDouble()});
}

constexpr size_t kOffer = 3;

void offer(const Stack& stack) {
  const int64_t argument = peek(stack, 2, kOffer).toInt();
  if (BoundRequest* bound = bound_to(attached_model_of(argument)))
    offer_argument(*bound, index_of(argument), peek(stack, 0, kOffer).toTensor());
}

/// Lives in the frame of the interpreter: when the call ends by an exception, nobody else would tell.
struct CallFrame final : torch::CustomClassHolder {
  explicit CallFrame(std::shared_ptr<BoundRequest> bound) : entered(std::move(bound)) {}
  ~CallFrame() override { abandon_call(entered); }
  const std::shared_ptr<BoundRequest> entered;
};

void enter(Stack& stack) noexcept {
  c10::IValue& top = peek(stack, 0, 1);
  const int64_t method = top.isInt() ? top.toInt() : -1;
  top = c10::IValue();
  const EnteredCall entered = enter_call(attached_model_of(method), index_of(method));
  if (entered.opened) top = c10::IValue(method);  // allocates nothing; the host ends its request itself
  if (entered.answer == nullptr) return;
  try {
    top = c10::IValue::make_capsule(c10::make_intrusive<CallFrame>(entered.answer));
  } catch (...) {  // the call would never end
    abandon_call(entered.answer);
  }
}

void leave(Stack& stack) noexcept {
  if (const c10::IValue& frame = peek(stack, 0, 1); frame.isCapsule()) {
    leave_call(c10::static_intrusive_pointer_cast<CallFrame>(frame.toCapsule())->entered);
  } else if (frame.isInt()) {
    leave_opened(attached_model_of(frame.toInt()), /*threw=*/false);
  }
  drop(stack, 1);
}

/// In the graphs of a probe only.
void keys(Stack& stack) {
  KeyObserver::show(peek(stack, 2, 4).toInt(), peek(stack, 3, 4).toInt(), peek(stack, 0, 4).toTensor(),
                    peek(stack, 1, 4).toInt());
  drop(stack, 3);
}

void define(const char* schema, void (*operation)(Stack&)) {
  torch::jit::registerOperator(
      torch::jit::Operator(schema, torch::jit::Operation(operation), c10::AliasAnalysisKind::FROM_SCHEMA));
}

/// With a frame, a type that no schema can be written with. Conservative: without outputs or tensors to depend on they
/// would be folded or deleted.
void define_with_frame(const char* name, std::vector<c10::Argument> arguments, std::vector<c10::Argument> returns,
                       void (*operation)(Stack&), c10::AliasAnalysisKind alias) {
  torch::jit::registerOperator(torch::jit::Operator(name, "", std::move(arguments), std::move(returns),
                                                    torch::jit::Operation(operation), alias));
}

}  // namespace

void register_tap_ops() {
  static std::once_flag once;
  std::call_once(once, [] {
    define(kTapSchema, pass<kTap, tap>);
    define(kObserveSchema, pass<kObserve, observe>);
    define(kObservePackedSchema, pass<kObservePacked, observe_packed>);
    define("gaze::offer(Tensor(a) input, Any frame, int argument) -> Tensor(a)", pass<kOffer, offer>);
    define("gaze::keys(Tensor(a) k, int key_axis, int watch, int site) -> Tensor(a)", keys);
    define_with_frame("gaze::enter", {c10::Argument("method", c10::IntType::get())},
                      {c10::Argument("", c10::CapsuleType::get())}, enter, c10::AliasAnalysisKind::CONSERVATIVE);
    define_with_frame("gaze::leave", {c10::Argument("frame", c10::CapsuleType::get())}, {}, leave,
                      c10::AliasAnalysisKind::CONSERVATIVE);
  });
}

}  // namespace gaze
