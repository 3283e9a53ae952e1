// SPDX-License-Identifier: MIT
#include "aoti/attention_shims.hpp"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/utils.h>
#include <gaze/render/status.hpp>

#include <array>
#include <atomic>
#include <mutex>
#include <optional>

#include "aoti/observed_calls.hpp"

namespace gaze {
namespace {

using torch::aot_inductor::tensor_handle_to_tensor_pointer;
using Handle = AtenTensorHandle;

// Read by every call, written by attach alone.
constexpr size_t kMostPackages = 256;
std::array<std::atomic<PackageCalls*>, kMostPackages> packages{};
std::atomic<size_t> kept_packages{0};

void tell(const void* caller, Handle q, Handle k, const Handle* mask, int32_t causal, const double* scale) noexcept {
  PackageCalls* const calls = package_at(caller);
  if (calls == nullptr) return;
  std::optional<at::Tensor> visible;
  if (mask != nullptr && *mask != nullptr) visible = *tensor_handle_to_tensor_pointer(*mask);
  calls->see(caller, {*tensor_handle_to_tensor_pointer(q), *tensor_handle_to_tensor_pointer(k), std::move(visible),
                      causal != 0, scale != nullptr ? std::optional<double>(*scale) : std::nullopt});
}

/// One function of torch's, by number: several devices have one of the same kind.
template <int number>
struct Original {
  static inline std::atomic<void*> address{nullptr};
};

/// Of a function that begins with q, k, v; `kMask`, `kCausal` and `kScale` are numbers of its arguments, kMask -1:
/// none.
template <int number, int kMask, int kCausal, int kScale, class... Arguments>
AOTITorchError before(Arguments... arguments) {
  // The site: where this call returns to.
  const void* const caller = __builtin_return_address(0);
  const auto original = reinterpret_cast<AOTITorchError (*)(Arguments...)>(Original<number>::address.load());
  const AOTITorchError status = original(arguments...);
  if (status != AOTI_TORCH_SUCCESS) return status;
  const auto given = std::make_tuple(arguments...);
  const Handle* mask = nullptr;
  if constexpr (kMask >= 0) mask = std::get<static_cast<size_t>(kMask)>(given);
  tell(caller, std::get<0>(given), std::get<1>(given), mask, std::get<static_cast<size_t>(kCausal)>(given),
       std::get<static_cast<size_t>(kScale)>(given));
  return status;
}

/// A product: what it multiplies may be weights that the package computed itself.
template <int number>
AOTITorchError before_product(Handle out, Handle first, Handle second) {
  const void* const caller = __builtin_return_address(0);
  const auto original = reinterpret_cast<decltype(&before_product<number>)>(Original<number>::address.load());
  // Before it, for `out` may lie where the operand does.
  if (PackageCalls* const calls = package_at(caller))
    calls->see_product(caller, *tensor_handle_to_tensor_pointer(first));
  return original(out, first, second);
}

/// An operator by its number in the package; ours are among them.
template <int number>
AOTITorchError before_operator(AOTIProxyExecutorHandle executor, int operation, int integers, int64_t* integer,
                               int tensors, Handle* tensor) {
  const CalledFrom from(__builtin_return_address(0));
  const auto original = reinterpret_cast<decltype(&before_operator<number>)>(Original<number>::address.load());
  return original(executor, operation, integers, integer, tensors, tensor);
}

struct Shim {
  const char* name;
  void* before;
  std::atomic<void*>* original;
};

template <int number, int kMask, int kCausal, int kScale, class... Arguments>
Shim shim(const char* name) {
  AOTITorchError (*const function)(Arguments...) = &before<number, kMask, kCausal, kScale, Arguments...>;
  return {name, reinterpret_cast<void*>(function), &Original<number>::address};
}

template <int number, auto function>
Shim other_shim(const char* name) {
  return {name, reinterpret_cast<void*>(function), &Original<number>::address};
}

/// What a function returns by address.
using Out = Handle*;
using Number = int64_t*;

const std::array<Shim, 6>& shims() {
  static const auto* const all = new std::array<Shim, 6>{
      shim<0, 5, 4, 6, Handle, Handle, Handle, double, int32_t, Handle*, double*, Out, Out>(
          "aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu"),
      shim<1, 3, 5, 7, Handle, Handle, Handle, Handle*, double, int32_t, int32_t, double*, Out, Out, Out, Out, Number,
           Number, Out, Out, Out>("aoti_torch_cpu__scaled_dot_product_fused_attention_overrideable"),
      shim<2, -1, 4, 6, Handle, Handle, Handle, double, int32_t, int32_t, double*, Out, Out, Out, Out, Number, Number,
           Out, Out, Out>("aoti_torch_cuda__scaled_dot_product_flash_attention"),
      shim<3, 3, 6, 7, Handle, Handle, Handle, Handle*, int32_t, double, int32_t, double*, Out, Out, Out, Out>(
          "aoti_torch_cuda__scaled_dot_product_efficient_attention"),
      shim<4, 3, 6, 8, Handle, Handle, Handle, Handle*, int32_t, double, int32_t, int32_t, double*, Out, Out, Out, Out,
           Number, Number, Out, Out, Out>("aoti_torch_cuda__scaled_dot_product_cudnn_attention"),
      shim<5, 3, 5, 7, Handle, Handle, Handle, Handle*, double, int32_t, int32_t, double*, Out, Out, Out, Out, Number,
           Number, Out, Out, Out>("aoti_torch_cuda__scaled_dot_product_fused_attention_overrideable")};
  return *all;
}

void keep(PackageCalls* calls) {
  static auto* const mutex = new std::mutex;
  const std::lock_guard<std::mutex> lock(*mutex);
  const size_t kept = kept_packages.load(std::memory_order_relaxed);
  if (kept < kMostPackages) {
    packages[kept].store(calls, std::memory_order_relaxed);
    kept_packages.store(kept + 1, std::memory_order_release);
    return;
  }
  throw Error("attach: expected at most " + std::to_string(kMostPackages) +
                  " packages that were attached in this process, got one more. Attach fewer.",
              DropReason::HostBudget);
}

}  // namespace

PackageCalls* package_at(const void* caller) noexcept {
  if (caller == nullptr) return nullptr;
  // The newest first: what was unloaded may have left its place to a later one.
  for (size_t i = kept_packages.load(std::memory_order_acquire); i-- > 0;) {
    PackageCalls* const calls = packages[i].load(std::memory_order_relaxed);
    if (calls->holds(caller)) return calls;
  }
  return nullptr;
}

int stand_before_attention(const LoadedLibrary& library, bool observed, PackageCalls* calls) {
  int imported = 0;
  bool kept = false;
  const auto stand = [&](const Shim& each) {
    void* const original = library.find(each.name);
    if (original == nullptr) return;
    each.original->store(original);
    if (!library.redirect(each.name, each.before)) return;
    // From the first redirected call on somebody is told; before, it goes on to torch as it is.
    if (!std::exchange(kept, true)) keep(calls);
    ++imported;
  };
  for (const Shim& each : shims()) stand(each);
  if (observed) {
    stand(other_shim<6, &before_operator<6>>("aoti_torch_proxy_executor_call_function"));
  } else {
    // Not on a device: to look at an operand would wait for it.
    stand(other_shim<7, &before_product<7>>("aoti_torch_cpu_bmm_out"));
  }
  return imported;
}

}  // namespace gaze
