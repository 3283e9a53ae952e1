// SPDX-License-Identifier: MIT
// Which request the calls of a thread belong to. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "request/answer_calls.hpp"
#include "request/numbered_calls.hpp"
#include "request/replays.hpp"

namespace gaze {

class Recorder;
struct AttachedModel;
struct RequestState;

/// A request as calls of its model find it: one that is captured, or one that sampling decided against.
struct BoundRequest {
  BoundRequest(std::shared_ptr<Recorder> of, RequestState* state) : recorder(std::move(of)), captured(state) {}

  const std::shared_ptr<Recorder> recorder;
  RequestState* const captured;                  ///< this object itself; null: its calls are as if capture was off
  std::atomic<bool> open{true};                  ///< calls belong to it
  std::unique_ptr<AnswerCalls> calls = {};       ///< of an answer for which the host opened no request; else null
  std::thread::id thread = {};                   ///< that bound it
  std::unique_ptr<NumberedCalls> numbered = {};  ///< of a request of a model whose calls come without names
  std::unique_ptr<ReplayClaim> replays = {};     ///< of a request that the host opened
};

/// Most open requests of a thread: the oldest gives way to one more.
inline constexpr size_t kMaxBound = 1024;

/// From now on the newest of this thread, and of what it forks, until it is closed. Cost: a few allocations, and one
/// look at each open request of the thread.
/// @return what had to give way, closed; null: nothing
/// @throws std::bad_alloc; where it is the host's request, calls of the module are then not captured on this thread
/// until
///         another is bound: they are for no other request either
std::shared_ptr<BoundRequest> bind(const std::shared_ptr<BoundRequest>& request);
/// Closes it: no call finds it any more. Any thread.
void unbind(BoundRequest& request) noexcept;

/// Whether the last request of this thread for a module could not be bound.
bool unbound(const AttachedModel* model) noexcept;
/// The newest open request of this thread, or of the one that forked it, for a module; null when none. Allocates
/// nothing. Valid until it is closed.
BoundRequest* bound_to(const AttachedModel* model) noexcept;
/// The newest open request of this thread alone of which `is` holds; null when none. Allocates nothing.
BoundRequest* newest_bound(c10::function_ref<bool(const BoundRequest&)> is) noexcept;
/// The same, to keep.
std::shared_ptr<BoundRequest> shared_bound_to(const AttachedModel* model) noexcept;

}  // namespace gaze
