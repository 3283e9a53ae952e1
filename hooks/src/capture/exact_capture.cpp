// SPDX-License-Identifier: MIT
#include "capture/exact_capture.hpp"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <utility>

namespace gaze {

void ExactCapture::on_call(int64_t site, const AttentionCall& call) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  ExactWeights weights;
  weights.site = rules_.name(site);
  weights.attn_bhqk = call.exact().to(at::kCPU, at::kFloat).contiguous();
  if (static_cast<size_t>(site) >= calls_.size()) calls_.resize(static_cast<size_t>(site) + 1);
  weights.call = calls_[static_cast<size_t>(site)]++;
  kept.push_back(std::move(weights));
}

}  // namespace gaze
