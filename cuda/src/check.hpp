// SPDX-License-Identifier: MIT
// Error messages of one form: "gaze::op: argument: expected ..., got ...".
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "cuda_part.hpp"

#define GAZE_CHECK(condition, op, argument, ...) \
  TORCH_CHECK(condition, "gaze::", op, ": ", argument, ": expected ", __VA_ARGS__)

namespace gaze::ops {

/// Whether the memory of a tensor holds its values: it is not wrapped, fake, nested, quantized, without memory, or to
/// be negated by who reads it. Its own dispatch decides that; kernels are called past it.
inline bool is_plain(const at::Tensor& x) {
  constexpr c10::DispatchKeySet kPlain =
      c10::DispatchKeySet({c10::DispatchKey::Dense, c10::DispatchKey::ADInplaceOrView,
                           c10::DispatchKey::AutogradFunctionality, c10::DispatchKey::AutogradOther}) |
      c10::autocast_dispatch_keyset;
  const uint64_t keys = x.key_set().raw_repr() & ~c10::full_backend_mask;
  return kPlain.has_all(c10::DispatchKeySet(c10::DispatchKeySet::RAW, keys)) && x.has_storage();
}

/// A tensor that the kernels of its device can read.
inline void check_tensor(const char* op, const char* argument, const at::Tensor& x) {
  GAZE_CHECK(x.defined(), op, argument, "a tensor, got an undefined one");
  GAZE_CHECK(x.is_cpu() || x.is_cuda(), op, argument, "a cpu or cuda tensor, got ", x.device());
  if (x.is_cuda()) {
    std::string problem;
    GAZE_CHECK(cuda_part(&problem) != nullptr, op, argument,
               "a cpu tensor, because the CUDA part cannot be loaded, got ", x.device(), ": ", problem);
  }
  GAZE_CHECK(x.layout() == at::kStrided, op, argument, "a strided tensor, got layout ", x.layout());
  GAZE_CHECK(is_plain(x), op, argument,
             "a tensor whose memory holds its values (at::empty_like(x).copy_(x) is one), got ", x.key_set());
}

/// Precondition: `x` passed `check_tensor`.
inline const KernelTable& kernels_for(const at::Tensor& x) { return x.is_cuda() ? cuda_part()->kernels : cpu_kernels; }

inline void check_like(const char* op, const char* argument, const at::Tensor& x, at::ScalarType dtype,
                       at::Device device) {
  check_tensor(op, argument, x);
  GAZE_CHECK(x.scalar_type() == dtype, op, argument, dtype, ", got ", x.scalar_type());
  GAZE_CHECK(x.device() == device, op, argument, "device ", device, ", got ", x.device());
}

inline void check_sizes(const char* op, const char* argument, const at::Tensor& x, at::IntArrayRef sizes) {
  GAZE_CHECK(x.sizes() == sizes, op, argument, "shape ", sizes, ", got ", x.sizes());
}

}  // namespace gaze::ops
