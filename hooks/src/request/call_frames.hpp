// SPDX-License-Identifier: MIT
// From a call of a model to the request it belongs to: the host's, or one of its own. Knows no TorchScript.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace gaze {

struct BoundRequest;
struct Instrumented;
struct RequestState;

/// As bind; what gives way is discarded and counted.
void bind_newest(const std::shared_ptr<BoundRequest>& request);
/// The host opens a request: the answer that this thread's calls made so far is over.
void end_answer(const Instrumented* instrumented) noexcept;

/// A top-level call begins. The result, where there is one, is for leave_call or abandon_call.
std::shared_ptr<BoundRequest> enter_call(Instrumented* instrumented, int64_t method) noexcept;
/// The call returned.
void leave_call(const std::shared_ptr<BoundRequest>& entered) noexcept;
/// The call ended otherwise: an answer that nobody opened a request for ends with it. No effect after leave_call.
void abandon_call(const std::shared_ptr<BoundRequest>& entered) noexcept;

/// An argument of the running method, handed to its request.
void offer_argument(BoundRequest& bound, int64_t argument, const at::Tensor& input) noexcept;

/// The request that one attention call of the running method is for, which is found bound; null when it is not
/// captured. Sizes of 0: not known.
RequestState* capturing(BoundRequest& bound, int64_t site, int64_t queries, int64_t keys) noexcept;

}  // namespace gaze
