// SPDX-License-Identifier: MIT
#include "request/numbered_calls.hpp"

#include <gaze/render/status.hpp>

#include "request/attached_model.hpp"
#include "request/recorder.hpp"
#include "request/request_binding.hpp"
#include "request/request_state.hpp"

namespace gaze {

NumberedCalls::NumberedCalls(const std::vector<StepSite>& told) : order(told) {
  open_.fetch_add(1, std::memory_order_relaxed);
}

NumberedCalls::~NumberedCalls() { close(); }

void NumberedCalls::close() noexcept {
  if (!closed_.exchange(true)) open_.fetch_sub(1, std::memory_order_relaxed);
}

BoundRequest* wants_numbered() noexcept {
  if (!NumberedCalls::wanted()) return nullptr;
  BoundRequest* const bound = newest_bound([](const BoundRequest& each) { return each.recorder->model.numbered; });
  // Forks of the thread run in any order.
  if (bound == nullptr || bound->captured == nullptr || !bound->numbered) return nullptr;
  return bound->thread == std::this_thread::get_id() && bound->recorder->live() ? bound : nullptr;
}

int64_t site_of_numbered(BoundRequest& request, const SiteOrder::Call& call) noexcept {
  try {
    NumberedCalls& calls = *request.numbered;
    const std::lock_guard<std::mutex> lock(calls.mutex);
    const std::optional<int64_t> number = calls.order.next(call);
    if (!number) {
      request.captured->refuse(DropReason::SiteOrder, calls.order.problem());
      return SiteOrder::kNone;
    }
    if (*number < 0 || *number < static_cast<int64_t>(request.recorder->model.sites.size())) return *number;
    if (static_cast<size_t>(*number) < calls.found.size()) return calls.found[static_cast<size_t>(*number)];
    Site site;
    site.name = "attention" + std::to_string(*number);
    site.kind = call.weights ? SiteKind::Softmax : SiteKind::Sdpa;
    site.relation = call.queries > 1 && call.queries == call.keys ? SiteRelation::Self : SiteRelation::Unknown;
    site.heads = call.heads;
    site.kv_heads = call.kv_heads;
    site.proposed = true;
    calls.found.push_back(request.recorder->sites.add(std::move(site)));
    return calls.found.back();
  } catch (...) {
    request.captured->refuse_with_current_exception();
    return SiteOrder::kNone;
  }
}

}  // namespace gaze
