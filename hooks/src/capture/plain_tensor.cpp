// SPDX-License-Identifier: MIT
#include "capture/plain_tensor.hpp"

#include <ATen/Functions.h>
#include <c10/core/DispatchKeySet.h>

namespace gaze {
namespace {

// Whose kernels read and write memory as it lies there, on any device; and what only stands before them.
constexpr c10::DispatchKeySet kPlain =
    c10::DispatchKeySet({c10::DispatchKey::Dense, c10::DispatchKey::Conjugate, c10::DispatchKey::Negative,
                         c10::DispatchKey::ADInplaceOrView, c10::DispatchKey::AutogradFunctionality,
                         c10::DispatchKey::AutogradOther}) |
    c10::autocast_dispatch_keyset;

/// Bits of back ends say where a tensor lies, not what it is.
bool only(const at::Tensor& tensor, c10::DispatchKeySet allowed) noexcept {
  const uint64_t keys = tensor.unsafeGetTensorImpl()->key_set().raw_repr() & ~c10::full_backend_mask;
  return (keys & ~allowed.raw_repr()) == 0;
}

bool has(const at::Tensor& tensor, c10::DispatchKey key) noexcept {
  return tensor.unsafeGetTensorImpl()->key_set().has_any(c10::DispatchKeySet(key));
}

}  // namespace

bool is_plain(const at::Tensor& tensor) noexcept {
  if (!tensor.defined() || !only(tensor, kPlain) || !has(tensor, c10::DispatchKey::Dense)) return false;
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  return impl.device_type() != c10::DeviceType::Meta && impl.has_storage();
}

bool is_plain_batch(const at::Tensor& tensor) noexcept {
  return tensor.defined() && has(tensor, c10::DispatchKey::NestedTensor) &&
         only(tensor,
              kPlain | c10::DispatchKeySet({c10::DispatchKey::NestedTensor, c10::DispatchKey::AutogradNestedTensor}));
}

at::Tensor materialised(const at::Tensor& tensor) {
  if (!tensor.is_neg() && !tensor.is_conj()) return tensor;
  return tensor.resolve_conj().resolve_neg();
}

at::Tensor alias_of(const at::Tensor& tensor) {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  return at::Tensor(impl.shallow_copy_and_detach(impl.version_counter(), /*allow_tensor_metadata_change=*/false));
}

int64_t version_of(const at::Tensor& tensor) { return tensor.is_inference() ? 0 : tensor._version(); }

std::string describe_kind(const at::Tensor& tensor) {
  return tensor.defined() ? c10::toString(tensor.unsafeGetTensorImpl()->key_set()) : "an undefined tensor";
}

}  // namespace gaze
