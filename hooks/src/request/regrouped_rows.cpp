// SPDX-License-Identifier: MIT
// A request whose batch was gathered anew, as by a search with beams.
#include <utility>

#include "capture/inside_tap.hpp"
#include "request/request_state.hpp"

namespace gaze {

void RequestState::reorder(const std::vector<int64_t>& from) noexcept {
  regroup(from, from, [&](TokenCapture& tokens) { tokens.reorder(from); });
}

void RequestState::reorder_tokens(const std::vector<std::vector<int64_t>>& from) noexcept {
  try {
    std::vector<int64_t> named;
    std::vector<int64_t> last;
    for (const std::vector<int64_t>& each : from) {
      if (each.empty())
        throw Error("reorder_tokens: expected a row for every token, got none.", DropReason::ShapeMismatch);
      named.insert(named.end(), each.begin(), each.end());
      last.push_back(each.back());
    }
    regroup(named, last, [&](TokenCapture& tokens) { tokens.reorder_tokens(from); });
  } catch (...) {
    fail_with_current_exception();
  }
}

void RequestState::regroup(const std::vector<int64_t>& named, const std::vector<int64_t>& from,
                           c10::function_ref<void(TokenCapture&)> act) noexcept {
  try {
    const InsideTap inside;
    const std::lock_guard<std::mutex> lock(mutex_);
    TokenCapture* const tokens = capture_->as_tokens();
    if (tokens == nullptr || !open.load() || failed()) return;
    check_rows(named, static_cast<int64_t>(rows_.size()));
    act(*tokens);
    with_text(act);
    std::vector<RequestRow> rows;
    for (const int64_t row : from) rows.push_back(rows_[static_cast<size_t>(row)]);
    const int64_t before = captured_rows();
    rows_ = std::move(rows);
    const int64_t more = captured_rows() - before;
    if (more > 0) {
      recorder->counters->sampled(more);
    } else if (more < 0) {
      recorder->counters->dropped(DropReason::Superseded, -more);
    }
  } catch (...) {
    fail_with_current_exception();
  }
}

}  // namespace gaze
