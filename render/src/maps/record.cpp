// SPDX-License-Identifier: MIT
#include <gaze/render/record.hpp>

namespace gaze {

std::array<const at::Tensor*, 6> AttentionRecord::tensors() const noexcept {
  return {&map_tc, &mass_t, &visible_t, &flags_t, &picture.tensor, &sound.samples};
}

int64_t AttentionRecord::bytes() const {
  size_t total = 0;
  for (const at::Tensor* tensor : tensors()) {
    if (tensor->defined()) total += tensor->nbytes();
  }
  total += picture.encoded.size() + prompt.size() + request_id.size() + token_ids.size() * sizeof(int64_t);
  for (const std::string& label : labels) total += label.size();
  return static_cast<int64_t>(total);
}

}  // namespace gaze
