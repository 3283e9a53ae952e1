// SPDX-License-Identifier: MIT
#include "dispatcher/fused_taps.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_native_multi_head_attention_ops.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_ops.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_ops.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_ops.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_ops.h>
#include <ATen/ops/_scaled_dot_product_fused_attention_overrideable_ops.h>
#include <ATen/ops/_transformer_encoder_layer_fwd_ops.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "capture/packed_attention.hpp"
#include "dispatcher/inside_operators.hpp"
#include "request/call_frames.hpp"
#include "request/numbered_calls.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"

namespace gaze {
namespace {

/// Number of the argument of that name in an operator's schema, "name(Tensor query, ..., *, float? scale=None) -> ...";
/// -1: it has none.
constexpr int argument(std::string_view schema, std::string_view name) {
  int number = 0;
  schema = schema.substr(schema.find('(') + 1);
  schema = schema.substr(0, schema.find(") ->"));
  while (!schema.empty()) {
    const size_t end = schema.find(", ");
    std::string_view one = schema.substr(0, end);
    schema = end == std::string_view::npos ? std::string_view() : schema.substr(end + 2);
    if (one == "*") continue;
    one = one.substr(0, one.find('='));
    if (one.substr(one.rfind(' ') + 1) == name) return number;
    ++number;
  }
  return -1;
}
static_assert(argument("of(Tensor a, *, Tensor? b=None, float? c=0.5) -> (Tensor, Tensor)", "b") == 1);
static_assert(argument("of(Tensor a, *, Tensor? b=None, float? c=0.5) -> (Tensor, Tensor)", "c") == 2);
static_assert(argument("of(Tensor a) -> Tensor", "b") == -1);

/// What was given as that argument; `otherwise` of an operator that has none.
template <int number, class Given, class Value>
auto given_as(const Given& given, const Value& otherwise) {
  if constexpr (number >= 0) {
    return std::get<static_cast<size_t>(number)>(given);
  } else {
    return otherwise;
  }
}

/// Of one query, whose heads that share keys came as queries of theirs: [batch, kv_heads, heads / kv_heads, size].
ops::Scores heads_apart(const ops::Scores& packed, int64_t heads) {
  ops::Scores scores = packed;
  const at::Tensor& q = packed.q_bhqd;
  scores.q_bhqd = q.reshape({q.size(0), heads, 1, q.size(3)});
  if (packed.mask && packed.mask->defined() && packed.mask->dim() == 4) {
    const at::Tensor& mask = *packed.mask;
    // One for all heads stays so.
    if (mask.size(1) > 1 || mask.size(2) > 1)
      scores.mask = mask.expand({mask.size(0), q.size(1), q.size(2), mask.size(3)})
                        .reshape({mask.size(0), heads, 1, mask.size(3)});
  }
  return scores;
}

void push(BoundRequest& bound, const ops::Scores& scores) {
  const at::Tensor &q = scores.q_bhqd, &k = scores.k_bhkd;
  if (!is_real(q) || !is_real(k) || q.dim() != 4 || k.dim() != 4) return;
  const Hidden hidden;
  const SiteOrder::Call call{
      .heads = q.size(1), .kv_heads = k.size(1), .head_size = q.size(3), .queries = q.size(2), .keys = k.size(2)};
  const int64_t site = site_of_numbered(bound, call);
  if (site < 0) return;
  const Site& known = bound.recorder->sites[site];
  const SiteOrder::Call whole = SiteOrder::unpacked(call, known.heads, known.kv_heads);
  push_call(bound, site, whole.heads == call.heads ? scores : heads_apart(scores, whole.heads));
}

void push(BoundRequest& bound, const PackedAttention& packed) {
  const at::Tensor &q = packed.q_input, &k = packed.k_input;
  if (!is_real(q) || !is_real(k) || q.dim() != 3 || k.dim() != 3 || packed.heads < 1) return;
  const Hidden hidden;
  const int64_t site = site_of_numbered(
      bound, {.heads = packed.heads, .head_size = q.size(2) / packed.heads, .queries = q.size(1), .keys = k.size(1)});
  if (site >= 0) push_call(bound, site, packed);
}

/// What is scored.
template <class Op>
struct Fused {
  static constexpr std::string_view kSchema = Op::schema_str;
  static constexpr int kMask =
      argument(kSchema, "attn_mask") >= 0 ? argument(kSchema, "attn_mask") : argument(kSchema, "attn_bias");
  template <class Given>
  static ops::Scores taken(const Given& given) {
    return {std::get<argument(kSchema, "query")>(given), std::get<argument(kSchema, "key")>(given),
            given_as<kMask>(given, std::optional<at::Tensor>()), std::get<argument(kSchema, "is_causal")>(given),
            std::get<argument(kSchema, "scale")>(given)};
  }
};

/// What is projected and then scored.
template <class Op>
struct Packed {
  static constexpr std::string_view kSchema = Op::schema_str;
  static constexpr int either(const char* one, const char* other) {
    return argument(kSchema, one) >= 0 ? argument(kSchema, one) : argument(kSchema, other);
  }
  static constexpr int kQuery = either("query", "src"), kKey = either("key", "src");
  template <class Given>
  static PackedAttention taken(const Given& given) {
    const std::optional<at::Tensor> none;
    return {.q_input = std::get<kQuery>(given),
            .k_input = std::get<kKey>(given),
            .weight = std::get<argument(kSchema, "qkv_weight")>(given),
            .bias = std::get<argument(kSchema, "qkv_bias")>(given),
            .heads = std::get<either("num_head", "num_heads")>(given),
            .mask = std::get<argument(kSchema, "mask")>(given),
            .mask_type = std::get<argument(kSchema, "mask_type")>(given),
            .norm_first = given_as<argument(kSchema, "norm_first")>(given, false),
            .norm_weight = given_as<argument(kSchema, "norm_weight_1")>(given, none),
            .norm_bias = given_as<argument(kSchema, "norm_bias_1")>(given, none),
            .eps = given_as<argument(kSchema, "eps")>(given, 1e-5)};
  }
};

/// The kernel before an operator's own.
template <class Op, template <class> class As, class Schema = typename Op::schema>
struct Kernel;
template <class Op, template <class> class As, class Result, class... Arguments>
struct Kernel<Op, As, Result(Arguments...)> {
  static Result call(c10::DispatchKeySet keys, Arguments... arguments) {
    if (!NumberedCalls::wanted()) return Op::redispatch(behind(keys), std::forward<Arguments>(arguments)...);
    return seen(keys, std::forward<Arguments>(arguments)...);
  }

 private:
  // Apart, so that a call that nobody looks at has no frame to set up.
  [[gnu::noinline]] static Result seen(c10::DispatchKeySet keys, Arguments... arguments) {
    BoundRequest* const bound = wanted_here();
    const auto given = std::forward_as_tuple(arguments...);
    const auto run = [&] {
      const WithinAttention within;
      return Op::redispatch(behind(keys), arguments...);
    };
    Result result = run();
    if (bound == nullptr) return result;
    try {
      push(*bound, As<Op>::taken(given));
    } catch (...) {  // what is captured fails with a reason of its own, further down
    }
    return result;
  }
};

/// With `library` a kernel is put there, where this torch has the operator; without, its name is told.
template <template <class> class As, class... Ops>
void each(torch::Library* library, std::vector<const char*>* names) {
  const auto one = [&](const char* name, auto kernel) {
    const char* const own = name + std::string_view("aten::").size();
    if (names != nullptr) names->push_back(own);
    if (library != nullptr && c10::Dispatcher::singleton().findSchema({name, ""})) library->impl(own, kernel);
  };
  (one(Ops::name, TORCH_FN((Kernel<Ops, As>::call))), ...);
}

void all(torch::Library* library, std::vector<const char*>* names) {
  each<Fused, at::_ops::_scaled_dot_product_flash_attention_for_cpu, at::_ops::_scaled_dot_product_flash_attention,
       at::_ops::_scaled_dot_product_efficient_attention, at::_ops::_scaled_dot_product_cudnn_attention,
       at::_ops::_scaled_dot_product_fused_attention_overrideable>(library, names);
  each<Packed, at::_ops::_native_multi_head_attention, at::_ops::_transformer_encoder_layer_fwd>(library, names);
}

}  // namespace

std::vector<const char*> fused_names() {
  std::vector<const char*> names;
  all(nullptr, &names);
  return names;
}

void register_fused_taps(torch::Library& library) { all(&library, nullptr); }

}  // namespace gaze
