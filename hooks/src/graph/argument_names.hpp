// SPDX-License-Identifier: MIT
// By which names TorchScript's operators take what the readers of graphs ask for. A new one is a line of this table;
// tests/hooks/arguments_test.cpp holds it to every overload that LibTorch has.
#pragma once

#include <initializer_list>

namespace gaze {

enum class Arg {
  Operand,  ///< what an operator works on: `self` or `input`, where the table does not say otherwise
  Other,    ///< what an elementwise operator joins with it
  Left,     ///< of a product of matrices
  Right,
  Equation,   ///< of an einsum
  Tensors,    ///< the operands of one
  Weight,     ///< of a projection
  Condition,  ///< of `where`
  At,         ///< the place of an element of a list
  Element,    ///< what is appended to one
  Indices,    ///< what is looked up
  Dim,        ///< one axis, or the list of those that are reduced
  Keepdim,
  First,  ///< the axes that change places, or where one comes from and goes to
  Second,
  Order,   ///< of all axes
  Start,   ///< the axes that are joined
  End,     ///< the last of them
  From,    ///< where what is cut out begins
  To,      ///< and where it ends
  Sizes,   ///< of the result's axes, or of those that one is cut into
  Stride,  ///< of a convolution, a number for each axis
  Chunks,
  Query,  ///< of an attention
  Key,
  Mask,
  MaskType,
  Causal,
  Scale,
  Heads,
  PackedWeight,  ///< that projects to queries, keys and values at once
  PackedBias,
  NormFirst,
  NormWeight,
  NormBias,
  Epsilon,
};

struct ArgumentName {
  Arg which;
  const char* name;
  std::initializer_list<const char*> ops;
};

/// Torch's operators that attend to keys by themselves.
inline constexpr std::initializer_list<const char*> kFusedAttention = {
    "aten::scaled_dot_product_attention",
    "aten::_scaled_dot_product_attention_math",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable"};

inline constexpr ArgumentName kArgumentNames[] = {
    {Arg::Operand, "list", {"aten::__getitem__", "aten::select"}},
    {Arg::Operand, "tensors", {"aten::cat", "aten::stack"}},
    {Arg::Operand, "l", {"aten::_set_item", "aten::slice"}},
    {Arg::Other,
     "other",
     {"aten::add", "aten::add_", "aten::div", "aten::div_", "aten::mul", "aten::mul_", "aten::sub", "aten::sub_",
      "aten::true_divide"}},
    {Arg::Other, "obj", {"aten::__is__", "aten::__isnot__"}},
    {Arg::Other, "b", {"aten::mul"}},  // of two numbers
    {Arg::Left, "self", {"aten::bmm", "aten::matmul", "aten::mm"}},
    {Arg::Left, "batch1", {"aten::baddbmm"}},
    {Arg::Right, "other", {"aten::matmul"}},
    {Arg::Right, "mat2", {"aten::bmm", "aten::mm"}},
    {Arg::Right, "batch2", {"aten::baddbmm"}},
    {Arg::Equation, "equation", {"aten::einsum"}},
    {Arg::Tensors, "tensors", {"aten::einsum"}},
    {Arg::Weight, "weight", {"aten::linear"}},
    {Arg::Weight, "mat2", {"aten::addmm"}},
    {Arg::Condition, "condition", {"aten::where"}},
    {Arg::At, "idx", {"aten::__getitem__"}},
    {Arg::Element, "el", {"aten::append"}},
    {Arg::Indices, "indices", {"aten::embedding", "aten::index"}},
    {Arg::Dim,
     "dim",
     {"aten::_log_softmax", "aten::_masked_softmax", "aten::_safe_softmax", "aten::_softmax", "aten::amax",
      "aten::amin", "aten::gather", "aten::index_select", "aten::log_softmax", "aten::logsumexp", "aten::mean",
      "aten::select", "aten::softmax", "aten::special_softmax", "aten::squeeze", "aten::sum", "aten::unbind",
      "aten::unflatten", "aten::unsqueeze"}},
    {Arg::Dim, "dim", {"aten::slice"}},
    {Arg::Keepdim, "keepdim", {"aten::amax", "aten::amin", "aten::logsumexp", "aten::mean", "aten::sum"}},
    {Arg::First, "dim0", {"aten::transpose", "aten::transpose_"}},
    {Arg::First, "axis0", {"aten::swapaxes"}},
    {Arg::First, "source", {"aten::movedim"}},
    {Arg::Second, "dim1", {"aten::transpose", "aten::transpose_"}},
    {Arg::Second, "axis1", {"aten::swapaxes"}},
    {Arg::Second, "destination", {"aten::movedim"}},
    {Arg::Order, "dims", {"aten::permute"}},
    {Arg::Start, "start_dim", {"aten::flatten"}},
    {Arg::End, "end_dim", {"aten::flatten"}},
    {Arg::From, "start", {"aten::slice"}},
    {Arg::To, "end", {"aten::slice"}},
    {Arg::Sizes, "size", {"aten::_unsafe_view", "aten::expand", "aten::ones", "aten::view", "aten::zeros"}},
    {Arg::Sizes, "shape", {"aten::reshape"}},
    {Arg::Sizes, "repeats", {"aten::repeat"}},
    {Arg::Sizes, "sizes", {"aten::unflatten"}},
    {Arg::Stride, "stride", {"aten::_convolution", "aten::convolution"}},
    {Arg::Chunks, "chunks", {"aten::chunk"}},
    {Arg::Query, "query", kFusedAttention},
    {Arg::Query, "query", {"aten::_native_multi_head_attention"}},
    {Arg::Query, "src", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::Key, "key", kFusedAttention},
    {Arg::Key, "key", {"aten::_native_multi_head_attention"}},
    {Arg::Key, "src", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::Mask,
     "attn_mask",
     {"aten::_scaled_dot_product_attention_math", "aten::_scaled_dot_product_flash_attention_for_cpu",
      "aten::scaled_dot_product_attention"}},
    {Arg::Mask,
     "attn_bias",
     {"aten::_scaled_dot_product_cudnn_attention", "aten::_scaled_dot_product_efficient_attention",
      "aten::_scaled_dot_product_fused_attention_overrideable"}},
    {Arg::Mask, "mask", {"aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd"}},
    {Arg::MaskType, "mask_type", {"aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd"}},
    {Arg::Causal, "is_causal", kFusedAttention},
    {Arg::Scale, "scale", kFusedAttention},
    {Arg::Heads, "num_head", {"aten::_native_multi_head_attention"}},
    {Arg::Heads, "num_heads", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::PackedWeight, "qkv_weight", {"aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd"}},
    {Arg::PackedBias, "qkv_bias", {"aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd"}},
    {Arg::NormFirst, "norm_first", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::NormWeight, "norm_weight_1", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::NormBias, "norm_bias_1", {"aten::_transformer_encoder_layer_fwd"}},
    {Arg::Epsilon, "eps", {"aten::_transformer_encoder_layer_fwd"}},
};

}  // namespace gaze
