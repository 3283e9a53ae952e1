// SPDX-License-Identifier: MIT
#include "kept_calls.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

namespace gaze {
namespace {

int64_t version_of(const at::Tensor& tensor) { return tensor.is_inference() ? 0 : tensor._version(); }

}  // namespace

bool KeptCall::takes(const ops::Scores& scores) const {
  if (scores.causal || (scores.mask.has_value() && scores.mask->defined()) || scores.q_bhqd.size(2) != 1) return false;
  if (count_ == 0) return true;
  if (count_ == q_bhtd_.size(2)) return false;
  const at::Tensor& q = scores.q_bhqd;
  const at::Tensor& k = scores.k_bhkd;
  const bool like = q.scalar_type() == q_bhtd_.scalar_type() && q.device() == q_bhtd_.device() &&
                    q.size(0) == q_bhtd_.size(0) && q.size(1) == q_bhtd_.size(1) && q.size(3) == q_bhtd_.size(3) &&
                    k.size(0) == k_bhkd_.size(0) && k.size(1) == k_bhkd_.size(1) && scores.scale == scale_;
  if (!like) return false;
  const bool same = same_memory(k);
  const bool grew = k.size(2) == k_bhkd_.size(2) + 1;
  return count_ == 1 ? same || grew : grows_ ? grew : same;
}

void KeptCall::keep(const ops::Scores& scores, int64_t token, int64_t room) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor q = scores.q_bhqd.detach();
  if (!q_bhtd_.defined() || q_bhtd_.scalar_type() != q.scalar_type() || q_bhtd_.device() != q.device() ||
      q_bhtd_.size(0) != q.size(0) || q_bhtd_.size(1) != q.size(1) || q_bhtd_.size(3) != q.size(3)) {
    q_bhtd_ = at::empty({q.size(0), q.size(1), room, q.size(3)}, q.options());
  }
  if (count_ == 0) {
    first_token_ = token;
    first_keys_ = scores.k_bhkd.size(2);
    scale_ = scores.scale;
  } else if (count_ == 1) {
    grows_ = scores.k_bhkd.size(2) != first_keys_;
  }
  q_bhtd_.narrow(2, count_, 1).copy_(q);
  k_bhkd_ = scores.k_bhkd.detach();
  version_ = version_of(k_bhkd_);
  ++count_;
  waiting_bhtd_ = q_bhtd_.narrow(2, 0, count_);
}

bool KeptCall::same_memory(const at::Tensor& k_bhkd) const {
  return k_bhkd.size(2) == k_bhkd_.size(2) && k_bhkd.const_data_ptr() == k_bhkd_.const_data_ptr() &&
         k_bhkd.strides() == k_bhkd_.strides();
}

bool KeptCall::written_over(const ops::Scores& next) const {
  return count_ > 0 && same_memory(next.k_bhkd) && version_of(k_bhkd_) != version_;
}

// What a cache that grows in one buffer writes lies behind the keys that wait.
bool KeptCall::written_over() const { return count_ > 1 && !grows_ && version_of(k_bhkd_) != version_; }

void KeptCall::clear() {
  count_ = 0;
  grows_ = false;
  k_bhkd_.reset();
}

ops::AttendCall KeptCall::call(int64_t batch, int64_t first_key, c10::ArrayRef<int64_t> heads) const {
  // Token t saw first_keys_ + t keys of those that are there now.
  const ops::Scores scores{waiting_bhtd_, k_bhkd_, no_mask_, grows_, scale_, grows_ ? first_keys_ - 1 : 0};
  return {scores, {batch, 0, count_, first_key, first_token_, false, heads}};
}

}  // namespace gaze
