// SPDX-License-Identifier: MIT
// What all taps among torch's operators have in common.
#pragma once

#include <ATen/record_function.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>

#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"
#include "request/numbered_calls.hpp"

namespace gaze {

// Below autograd, autocast and functorch, and just above the kernels of a device: what arrives here is what is
// computed. Every thread looks at this key, and where nothing stands an operator is not slowed down.
inline constexpr c10::DispatchKey kTapKey = c10::DispatchKey::BackendSelect;

inline c10::DispatchKeySet behind(c10::DispatchKeySet keys) {
  return keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kTapKey);
}

/// What a tap computes is none of the host's: nothing records, differentiates or traces it.
struct Hidden {
  InsideTap inside;
  at::NoGradGuard no_grad;
  at::DisableRecordFunctionGuard unrecorded;
};

/// While it lives this thread is within an operator that holds a whole attention: what it calls is a part of that.
class WithinAttention {
 public:
  WithinAttention() noexcept { ++depth_; }
  ~WithinAttention() { --depth_; }
  WithinAttention(const WithinAttention&) = delete;
  WithinAttention& operator=(const WithinAttention&) = delete;
  [[nodiscard]] static bool here() noexcept { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

/// The request that a call of an operator on this thread is for; null: none.
inline BoundRequest* wanted_here() noexcept {
  return NumberedCalls::wanted() && !WithinAttention::here() ? wants_numbered() : nullptr;
}

/// What a compiler or functorch runs an operator over is no attention of a model.
inline bool is_real(const at::Tensor& tensor) noexcept {
  return is_plain(tensor) && (tensor.is_cpu() || tensor.is_cuda());
}

}  // namespace gaze
