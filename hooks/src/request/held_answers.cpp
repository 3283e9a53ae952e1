// SPDX-License-Identifier: MIT
#include "request/held_answers.hpp"

#include <algorithm>
#include <iterator>

#include "process/fork_gate.hpp"
#include "request/request_state.hpp"

namespace gaze {

void HeldAnswers::hold(const std::shared_ptr<RequestState>& request) {
  Held one{request};
  const std::lock_guard<std::mutex> lock(fork_gate());
  held_.splice(held_.end(), one);
}

void HeldAnswers::let_go(const RequestState* request) noexcept {
  Held last;  // may be destroyed here, without the lock
  const std::lock_guard<std::mutex> lock(fork_gate());
  const auto at = std::find_if(held_.begin(), held_.end(), [&](const auto& each) { return each.get() == request; });
  if (at != held_.end()) last.splice(last.end(), held_, at);
}

template <typename Ends>
void HeldAnswers::finish_those(const Ends& ends, void (RequestState::*finish)() noexcept) noexcept {
  // Others come and go meanwhile: whoever ends one takes it off the list.
  for (size_t i = 0;;) {
    std::shared_ptr<RequestState> request;
    {
      const std::lock_guard<std::mutex> lock(fork_gate());
      if (i >= held_.size()) return;
      request = *std::next(held_.begin(), static_cast<std::ptrdiff_t>(i));
    }
    if (ends(*request->calls)) {
      (request.get()->*finish)();
      let_go(request.get());
    } else {
      ++i;
    }
  }
}

void HeldAnswers::finish() noexcept {
  finish_those([](AnswerCalls& calls) { return calls.end_between(); }, &RequestState::finish);
}

Chores::Clock::time_point HeldAnswers::run(Clock::time_point now) noexcept {
  finish_those([&](AnswerCalls& calls) { return calls.end_if_idle(now); }, &RequestState::finish_beside_recordings);
  const std::lock_guard<std::mutex> lock(fork_gate());
  return held_.empty() ? Clock::time_point::max() : now + std::chrono::seconds(1);
}

}  // namespace gaze
