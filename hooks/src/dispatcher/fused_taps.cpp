// SPDX-License-Identifier: MIT
// Operators that hold a whole attention: boxed, by the names of their arguments, which differ between operators and
// versions of torch.
#include "dispatcher/fused_taps.hpp"

#include <ATen/core/stack.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "capture/packed_attention.hpp"
#include "dispatcher/inside_operators.hpp"
#include "request/call_frames.hpp"
#include "request/numbered_calls.hpp"
#include "request/request_binding.hpp"

namespace gaze {
namespace {

using torch::jit::Stack;

/// An operator, and which of its arguments is which; -1: it has none.
struct FusedOp {
  const char* name;
  bool packed = false;  ///< its inputs are projected within
  int64_t q = -1, k = -1, mask = -1, causal = -1, scale = -1;
  int64_t heads = -1, weight = -1, bias = -1, mask_type = -1, norm_first = -1, eps = -1, norm_weight = -1,
          norm_bias = -1;
};

std::array<FusedOp, 7> fused_ops = {{{"_scaled_dot_product_flash_attention_for_cpu"},
                                     {"_scaled_dot_product_flash_attention"},
                                     {"_scaled_dot_product_efficient_attention"},
                                     {"_scaled_dot_product_cudnn_attention"},
                                     {"_scaled_dot_product_fused_attention_overrideable"},
                                     {"_native_multi_head_attention", true},
                                     {"_transformer_encoder_layer_fwd", true}}};

/// Names of an argument, and where it is kept.
constexpr std::pair<const char*, int64_t FusedOp::*> kArguments[] = {
    {"query", &FusedOp::q},
    {"src", &FusedOp::q},
    {"key", &FusedOp::k},
    {"attn_mask", &FusedOp::mask},
    {"attn_bias", &FusedOp::mask},
    {"mask", &FusedOp::mask},
    {"is_causal", &FusedOp::causal},
    {"scale", &FusedOp::scale},
    {"num_head", &FusedOp::heads},
    {"num_heads", &FusedOp::heads},
    {"qkv_weight", &FusedOp::weight},
    {"qkv_bias", &FusedOp::bias},
    {"mask_type", &FusedOp::mask_type},
    {"norm_first", &FusedOp::norm_first},
    {"eps", &FusedOp::eps},
    {"norm_weight_1", &FusedOp::norm_weight},
    {"norm_bias_1", &FusedOp::norm_bias},
};

/// False: this torch's operator has other arguments.
bool find_arguments(const c10::FunctionSchema& schema, FusedOp& op) {
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    for (const auto& [name, place] : kArguments) {
      if (schema.arguments()[i].name() == name) op.*place = static_cast<int64_t>(i);
    }
  }
  if (op.packed && op.k < 0) op.k = op.q;  // a layer of self-attention
  return op.q >= 0 && op.k >= 0 && (!op.packed || (op.heads >= 0 && op.weight >= 0));
}

/// The arguments of one call.
class Given {
 public:
  Given(const Stack& stack, size_t count) : first_(stack.end() - static_cast<std::ptrdiff_t>(count)) {}
  [[nodiscard]] const c10::IValue* at(int64_t argument) const { return argument < 0 ? nullptr : &first_[argument]; }
  [[nodiscard]] at::Tensor tensor(int64_t argument) const {
    const c10::IValue* const value = at(argument);
    return value != nullptr && value->isTensor() ? value->toTensor() : at::Tensor();
  }
  [[nodiscard]] std::optional<at::Tensor> optional(int64_t argument) const {
    at::Tensor value = tensor(argument);
    return value.defined() ? std::optional(std::move(value)) : std::nullopt;
  }
  template <class T>
  [[nodiscard]] std::optional<T> number(int64_t argument) const {
    const c10::IValue* const value = at(argument);
    return value == nullptr || value->isNone() ? std::nullopt : std::optional<T>(value->to<T>());
  }

 private:
  Stack::const_iterator first_;
};

void push(BoundRequest& bound, const ops::Scores& scores) {
  const at::Tensor &q = scores.q_bhqd, &k = scores.k_bhkd;
  if (!is_real(q) || !is_real(k) || q.dim() != 4 || k.dim() != 4) return;
  const Hidden hidden;
  const int64_t site =
      site_of_numbered(bound, {.heads = q.size(1), .head_size = q.size(3), .queries = q.size(2), .keys = k.size(2)});
  if (site >= 0) push_call(bound, site, scores);
}

void push(BoundRequest& bound, const PackedAttention& packed) {
  const at::Tensor &q = packed.q_input, &k = packed.k_input;
  if (!is_real(q) || !is_real(k) || q.dim() != 3 || k.dim() != 3 || packed.heads < 1) return;
  const Hidden hidden;
  const int64_t site = site_of_numbered(
      bound, {.heads = packed.heads, .head_size = q.size(2) / packed.heads, .queries = q.size(1), .keys = k.size(1)});
  if (site >= 0) push_call(bound, site, packed);
}

ops::Scores scores_of(const FusedOp& op, const Given& given) {
  return {given.tensor(op.q), given.tensor(op.k), given.optional(op.mask),
          given.number<bool>(op.causal).value_or(false), given.number<double>(op.scale)};
}

PackedAttention packed_of(const FusedOp& op, const Given& given) {
  return {.q_input = given.tensor(op.q),
          .k_input = given.tensor(op.k),
          .weight = given.tensor(op.weight),
          .bias = given.optional(op.bias),
          .heads = given.number<int64_t>(op.heads).value_or(0),
          .mask = given.optional(op.mask),
          .mask_type = given.number<int64_t>(op.mask_type),
          .norm_first = given.number<bool>(op.norm_first).value_or(false),
          .norm_weight = given.optional(op.norm_weight),
          .norm_bias = given.optional(op.norm_bias),
          .eps = given.number<double>(op.eps).value_or(1e-5)};
}

/// `Holder` holds what the call was given until it is over.
template <class Holder>
void see(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack, BoundRequest& bound,
         Holder (*of)(const FusedOp&, const Given&), const FusedOp& known) {
  std::optional<Holder> held;
  try {
    held = of(known, Given(*stack, op.schema().arguments().size()));
  } catch (...) {  // not what it was known to be
  }
  {
    const WithinAttention within;
    op.redispatchBoxed(behind(keys), stack);
  }
  try {
    if (held) push(bound, *held);
  } catch (...) {  // what is captured fails with a reason of its own, further down
  }
}

template <size_t Number>
void fused(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  BoundRequest* const bound = wanted_here();
  if (bound == nullptr) return op.redispatchBoxed(behind(keys), stack);
  const FusedOp& known = fused_ops[Number];
  known.packed ? see(op, keys, stack, *bound, &packed_of, known) : see(op, keys, stack, *bound, &scores_of, known);
}

template <size_t... Numbers>
void register_all(torch::Library& library, std::index_sequence<Numbers...>) {
  const auto add = [&](FusedOp& op, torch::CppFunction kernel) {
    const auto found = c10::Dispatcher::singleton().findSchema({std::string("aten::") + op.name, ""});
    if (found && find_arguments(found->schema(), op)) library.impl(op.name, std::move(kernel));
  };
  (add(fused_ops[Numbers], torch::CppFunction::makeFromBoxedFunction<&fused<Numbers>>()), ...);
}

}  // namespace

std::vector<const char*> fused_names() {
  std::vector<const char*> names;
  for (const FusedOp& op : fused_ops) names.push_back(op.name);
  return names;
}

void register_fused_taps(torch::Library& library) {
  register_all(library, std::make_index_sequence<fused_ops.size()>());
}

}  // namespace gaze
