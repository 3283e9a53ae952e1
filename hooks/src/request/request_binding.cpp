// SPDX-License-Identifier: MIT
#include "request/request_binding.hpp"

#include <c10/util/ThreadLocalDebugInfo.h>

#include <vector>

#include "request/attached_model.hpp"
#include "request/recorder.hpp"

namespace gaze {
namespace {

/// The slot of thread-local information that follows prim::fork; meant "for inference usage".
/// A reference, for LibTorch 2.15 made a class of the enumeration.
const c10::DebugInfoKind& kSlot = c10::DebugInfoKind::INFERENCE_CONTEXT;

/// What one thread had open when it was made, oldest first. Never changed: forks that run later see what was open when
/// they were forked, and what was closed since is marked so.
class Binding final : public c10::DebugInfoBase {
 public:
  std::vector<std::shared_ptr<BoundRequest>> requests;
};

/// The module whose request could not be bound.
thread_local const AttachedModel* lost = nullptr;

/// What this thread knows of itself is gone: at the process's end, where handlers of exit still run on it.
thread_local bool thread_ended = false;

const Binding* top() noexcept {
  return thread_ended ? nullptr : dynamic_cast<Binding*>(c10::ThreadLocalDebugInfo::get(kSlot));
}

const std::shared_ptr<BoundRequest>* find(const AttachedModel* model) noexcept {
  if (model == nullptr || model == lost) return nullptr;
  const Binding* binding = top();
  if (binding == nullptr) return nullptr;
  for (auto each = binding->requests.rbegin(); each != binding->requests.rend(); ++each) {
    if ((*each)->open.load(std::memory_order_acquire) && &(*each)->recorder->model == model &&
        !(*each)->recorder->forked())
      return &*each;
  }
  return nullptr;
}

/// Takes our information off the thread where it lies on top; nothing else is touched.
void pop() noexcept {
  try {
    c10::ThreadLocalDebugInfo::_pop(kSlot);
  } catch (...) {  // somebody else's lies on top: ours stays below it, inert
  }
}

/// LibTorch looks at a thread's information whenever a tensor goes, also when the thread has ended and it is destroyed:
/// what of ours is open then is taken off before.
struct ThreadEnd {
  ~ThreadEnd() {
    if (top() != nullptr) pop();
    thread_ended = true;
  }
};
/// Of a thread that is bound to, from then on.
void await_thread_end() noexcept {
  // What is made first goes last.
  c10::ThreadLocalDebugInfo::get(kSlot);
  static thread_local ThreadEnd end;
  static_cast<void>(&end);
}

}  // namespace

std::shared_ptr<BoundRequest> bind(const std::shared_ptr<BoundRequest>& request) {
  request->thread = std::this_thread::get_id();
  await_thread_end();
  const AttachedModel* const model = &request->recorder->model;
  // An answer of the calls' own is begun by the next call anew.
  if (!request->calls) lost = model;
  auto binding = std::make_shared<Binding>();
  if (const Binding* before = top()) {
    binding->requests.reserve(before->requests.size() + 1);
    for (const auto& each : before->requests) {
      if (each->open.load(std::memory_order_acquire)) binding->requests.push_back(each);
    }
  }
  std::shared_ptr<BoundRequest> oldest;
  if (binding->requests.size() >= kMaxBound) {
    oldest = binding->requests.front();
    binding->requests.erase(binding->requests.begin());
  }
  binding->requests.push_back(request);
  const auto before = c10::ThreadLocalDebugInfo::current();
  if (top() != nullptr) pop();
  try {
    c10::ThreadLocalDebugInfo::_push(kSlot, std::move(binding));
  } catch (...) {
    c10::ThreadLocalDebugInfo::_forceCurrentDebugInfo(before);
    throw;
  }
  lost = nullptr;
  return oldest;
}

void unbind(BoundRequest& request) noexcept {
  request.open.store(false, std::memory_order_release);
  if (request.captured == nullptr) request.replays.reset();
  if (request.numbered) request.numbered->close();
  if (request.thread != std::this_thread::get_id()) return;
  const Binding* binding = top();
  if (binding == nullptr) return;
  // What is closed is left out by the thread's next request; without any, nothing of ours stays on the thread.
  for (const auto& each : binding->requests) {
    if (each->open.load(std::memory_order_acquire)) return;
  }
  pop();
}

bool unbound(const AttachedModel* model) noexcept { return model == lost; }

BoundRequest* bound_to(const AttachedModel* model) noexcept {
  const auto* found = find(model);
  return found == nullptr ? nullptr : found->get();
}

BoundRequest* newest_bound(c10::function_ref<bool(const BoundRequest&)> is) noexcept {
  const Binding* const binding = top();
  if (binding == nullptr) return nullptr;
  for (auto each = binding->requests.rbegin(); each != binding->requests.rend(); ++each) {
    if ((*each)->open.load(std::memory_order_acquire) && is(**each)) return each->get();
  }
  return nullptr;
}

std::shared_ptr<BoundRequest> shared_bound_to(const AttachedModel* model) noexcept {
  const auto* found = find(model);
  return found == nullptr ? nullptr : *found;
}

}  // namespace gaze
