// SPDX-License-Identifier: MIT
// From a call of a model to the request it belongs to: the host's, or one of its own. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "capture/attention_call.hpp"
#include "capture/packed_attention.hpp"

namespace gaze {

struct BoundRequest;
struct AttachedModel;

/// As bind; what gives way is discarded and counted.
void bind_newest(const std::shared_ptr<BoundRequest>& request);
/// The host opens a request: the answer that this thread's calls made so far is over.
void end_answer(const AttachedModel* model) noexcept;

struct EnteredCall {
  std::shared_ptr<BoundRequest> answer = nullptr;  ///< where there is one, for leave_call or abandon_call
  bool opened = false;                             ///< it is for a request of the host's: leave_opened
};

/// A top-level call begins.
EnteredCall enter_call(AttachedModel* model, int64_t method) noexcept;
/// The call returned.
void leave_call(const std::shared_ptr<BoundRequest>& entered) noexcept;
/// A call for a request of the host's returned, or threw.
void leave_opened(const AttachedModel* model, bool threw) noexcept;
/// The call ended otherwise: an answer that nobody opened a request for ends with it. No effect after leave_call.
void abandon_call(const std::shared_ptr<BoundRequest>& entered) noexcept;

/// An argument of the running method, handed to its request.
void offer_argument(BoundRequest& bound, int64_t argument, const at::Tensor& input) noexcept;

/// One attention call of the running method, handed to the request that it is for, where it is captured.
/// @param site  of the request's model
void push_call(BoundRequest& bound, int64_t site, const at::Tensor& weights, const WeightsLayout& layout) noexcept;
void push_call(BoundRequest& bound, int64_t site, const ops::Scores& scores) noexcept;
void push_call(BoundRequest& bound, int64_t site, const PackedAttention& packed) noexcept;

}  // namespace gaze
