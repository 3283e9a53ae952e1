// SPDX-License-Identifier: MIT
#include "capture/step_calls.hpp"

#include <algorithm>

#include "capture/plain_tensor.hpp"

namespace gaze {

void StepCalls::keep(int64_t site, const ops::Scores& scores, const ops::RowRange& rows, int64_t dropped_keys,
                     int64_t held_bytes) {
  ops::Scores kept = scores;
  kept.q_bhqd = alias_of(scores.q_bhqd);
  kept.k_bhkd = alias_of(scores.k_bhkd);
  if (scores.mask && scores.mask->defined()) kept.mask = alias_of(*scores.mask);
  const int64_t version = version_of(kept.k_bhkd);
  calls_.push_back({site, dropped_keys, version, {std::move(kept), rows, {}}});
  held_bytes_ += held_bytes;
}

bool StepCalls::has(int64_t site) const {
  return std::any_of(calls_.begin(), calls_.end(), [&](const Kept& each) { return each.site == site; });
}

bool StepCalls::written_over() const {
  return std::any_of(calls_.begin(), calls_.end(),
                     [](const Kept& each) { return version_of(each.call.scores.k_bhkd) != each.version; });
}

std::vector<StepCalls::Run> StepCalls::runs(bool same_keys) const {
  std::vector<Run> runs;
  for (const Kept& each : calls_) {
    const at::Device device = each.call.scores.q_bhqd.device();
    const int64_t keys = each.call.scores.k_bhkd.size(2);
    const bool goes_on = !runs.empty() && runs.back().device == device &&
                         (!same_keys || (runs.back().keys == keys && runs.back().dropped_keys == each.dropped_keys));
    if (!goes_on) runs.push_back({device, keys, each.dropped_keys, {}});
    runs.back().calls.push_back(each.call);
  }
  return runs;
}

void StepCalls::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const Kept& each : calls_) {
    see(each.call.scores.q_bhqd);
    see(each.call.scores.k_bhkd);
    if (each.call.scores.mask) see(*each.call.scores.mask);
  }
}

}  // namespace gaze
