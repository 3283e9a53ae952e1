// SPDX-License-Identifier: MIT
#include "capture/deferred_queries.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <cstring>

#include "capture/plain_tensor.hpp"

namespace gaze {
namespace {

/// Copies the one query of q_bhqd to place `t` of to_bhtd, which is contiguous.
void copy_query(const at::Tensor& q_bhqd, int64_t t, const at::Tensor& to_bhtd) {
  if (!q_bhqd.is_cpu() || q_bhqd.stride(3) != 1) {
    to_bhtd.narrow(2, t, 1).copy_(q_bhqd);
    return;
  }
  // A view and a copy by torch take tens of microseconds here: the model has just driven their code out of the cache.
  const auto bytes = static_cast<int64_t>(q_bhqd.element_size());
  const auto* from = static_cast<const char*>(q_bhqd.const_data_ptr());
  auto* to = static_cast<char*>(to_bhtd.mutable_data_ptr());
  for (int64_t b = 0; b < q_bhqd.size(0); ++b) {
    for (int64_t h = 0; h < q_bhqd.size(1); ++h) {
      std::memcpy(to + (b * to_bhtd.stride(0) + h * to_bhtd.stride(1) + t * to_bhtd.stride(2)) * bytes,
                  from + (b * q_bhqd.stride(0) + h * q_bhqd.stride(1)) * bytes,
                  static_cast<size_t>(q_bhqd.size(3) * bytes));
    }
  }
}

}  // namespace

bool DeferredQueries::takes(const ops::Scores& scores) const {
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

void DeferredQueries::keep(const ops::Scores& scores, int64_t token, int64_t room) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor& q = scores.q_bhqd;
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
  copy_query(q, count_, q_bhtd_);
  k_bhkd_ = alias_of(scores.k_bhkd);
  version_ = version_of(k_bhkd_);
  ++count_;
}

bool DeferredQueries::same_memory(const at::Tensor& k_bhkd) const {
  return k_bhkd.size(2) == k_bhkd_.size(2) && k_bhkd.const_data_ptr() == k_bhkd_.const_data_ptr() &&
         k_bhkd.strides() == k_bhkd_.strides();
}

bool DeferredQueries::written_over(const ops::Scores& next) const {
  return count_ > 0 && same_memory(next.k_bhkd) && version_of(k_bhkd_) != version_;
}

// What a cache that grows in one buffer writes lies behind the keys that wait.
bool DeferredQueries::written_over() const { return count_ > 1 && !grows_ && version_of(k_bhkd_) != version_; }

void DeferredQueries::clear() {
  count_ = 0;
  grows_ = false;
  k_bhkd_.reset();
}

void DeferredQueries::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  see(q_bhtd_);
  see(k_bhkd_);
}

ops::AttendCall DeferredQueries::call(int64_t batch, int64_t first_key, c10::ArrayRef<int64_t> heads) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  // Token t saw first_keys_ + t keys of those that are there now.
  return {{q_bhtd_.narrow(2, 0, count_), k_bhkd_, std::nullopt, grows_, scale_, grows_ ? first_keys_ - 1 : 0},
          {batch, 0, count_, first_key, first_token_, false, heads}};
}

}  // namespace gaze
