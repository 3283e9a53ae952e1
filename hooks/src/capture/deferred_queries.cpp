// SPDX-License-Identifier: MIT
#include "capture/deferred_queries.hpp"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <gaze/render/status.hpp>

#include <algorithm>

#include "capture/plain_tensor.hpp"

namespace gaze {
namespace {

/// A query may share its memory with its own keys and values, and with other queries of one call.
constexpr size_t kMostOfMemory = 4;

}  // namespace

bool DeferredQueries::takes(const ops::Scores& scores, int64_t room) const {
  const at::Tensor& q = scores.q_bhqd;
  const at::Tensor& k = scores.k_bhkd;
  if (scores.causal || (scores.mask.has_value() && scores.mask->defined()) || q.size(2) != 1) return false;
  if (empty()) return true;
  if (static_cast<int64_t>(queries_.size()) >= room) return false;
  const at::Tensor& first = queries_.front();
  const bool like = q.scalar_type() == first.scalar_type() && q.device() == first.device() &&
                    q.sizes() == first.sizes() && q.strides() == strides_ && k.size(0) == k_bhkd_.size(0) &&
                    k.size(1) == k_bhkd_.size(1) && scores.scale == scale_;
  if (!like) return false;
  const bool same = same_memory(k);
  const bool grew = k.size(2) == k_bhkd_.size(2) + 1;
  return queries_.size() == 1 ? same || grew : grows_ ? grew : same;
}

void DeferredQueries::keep(const ops::Scores& scores, int64_t token) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor& q = scores.q_bhqd;
  if (empty()) {
    first_token_ = token;
    first_keys_ = scores.k_bhkd.size(2);
    scale_ = scores.scale;
    strides_ = q.strides().vec();
    copies_ = q.storage().nbytes() > kMostOfMemory * q.nbytes();
  } else if (queries_.size() == 1) {
    grows_ = scores.k_bhkd.size(2) != first_keys_;
  }
  queries_.push_back(copies_ ? q.clone(at::MemoryFormat::Contiguous) : alias_of(q));
  versions_.push_back(version_of(queries_.back()));
  k_bhkd_ = alias_of(scores.k_bhkd);
  version_ = version_of(k_bhkd_);
}

bool DeferredQueries::same_memory(const at::Tensor& k_bhkd) const {
  return k_bhkd.size(2) == k_bhkd_.size(2) && k_bhkd.const_data_ptr() == k_bhkd_.const_data_ptr() &&
         k_bhkd.strides() == k_bhkd_.strides();
}

bool DeferredQueries::written_over(const ops::Scores& next) const {
  if (empty()) return false;
  if (same_memory(next.k_bhkd) && version_of(k_bhkd_) != version_) return true;
  // A buffer that is used again, which one made in inference mode does not tell.
  const void* const at = next.q_bhqd.const_data_ptr();
  return next.q_bhqd.is_inference() &&
         std::any_of(queries_.begin(), queries_.end(), [&](const at::Tensor& q) { return q.const_data_ptr() == at; });
}

// What a cache that grows in one buffer writes lies behind the keys that wait.
bool DeferredQueries::written_over() const {
  for (size_t i = 0; i < queries_.size(); ++i) {
    if (version_of(queries_[i]) != versions_[i]) return true;
  }
  return queries_.size() > 1 && !grows_ && version_of(k_bhkd_) != version_;
}

void DeferredQueries::clear() {
  queries_.clear();
  versions_.clear();
  grows_ = false;
  k_bhkd_.reset();
}

void DeferredQueries::each_tensor(c10::function_ref<void(const at::Tensor&)> see) const {
  for (const at::Tensor& q : queries_) see(q);
  see(k_bhkd_);
}

ops::AttendCall DeferredQueries::call(int64_t first_key, c10::ArrayRef<int64_t> heads) const {
  // Token t saw first_keys_ + t keys of those that are there now.
  return {{queries_.front(), k_bhkd_, std::nullopt, grows_, scale_, grows_ ? first_keys_ - 1 : 0},
          {0, 0, static_cast<int64_t>(queries_.size()), first_key, first_token_, false, heads},
          queries_};
}

void refuse_written_over(const std::string& site) {
  throw Error(
      site +
          ": expected queries and keys that stay as they are while tokens wait, got memory that was written over. "
          "Set deferred_tokens to 0 for a cache that rolls or is cleared before finish(), and call "
          "Request::reorder before it is gathered in place.",
      DropReason::ShapeMismatch);
}

}  // namespace gaze
