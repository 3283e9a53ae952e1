// SPDX-License-Identifier: MIT
#include "aoti/package_sites.hpp"

#include <c10/core/GradMode.h>

#include <optional>
#include <utility>

#include "aoti/likely_weights.hpp"
#include "capture/inside_tap.hpp"
#include "capture/plain_tensor.hpp"

namespace gaze {
namespace {

Site site_of(std::string name, const ops::Scores& scores) {
  Site site;
  site.name = std::move(name);
  site.kind = SiteKind::Sdpa;
  site.proposed = true;
  const at::Tensor &q = scores.q_bhqd, &k = scores.k_bhkd;
  if (q.dim() == 4 && k.dim() == 4) {
    site.heads = q.size(1);
    site.kv_heads = k.size(1);
    if (q.size(2) > 1 && q.size(2) == k.size(2)) site.relation = SiteRelation::Self;
  }
  return site;
}

Site site_of(std::string name, const at::Tensor& weights) {
  Site site;
  site.name = std::move(name);
  site.kind = SiteKind::Softmax;
  site.proposed = true;
  // A product of three dimensions has batch and heads in one.
  if (weights.dim() == 4) site.heads = site.kv_heads = weights.size(1);
  if (weights.dim() > 2 && weights.size(-2) > 1 && weights.size(-2) == weights.size(-1))
    site.relation = SiteRelation::Self;
  return site;
}

void push_weights(FrontEnd& to, int64_t site, const at::Tensor& weights, bool scaled) {
  if (!scaled) return to.push(site, weights);
  const at::NoGradGuard no_grad;
  const InsideTap inside;
  to.push(site, with_rows_of_one(weights));
}

}  // namespace

void PackageSites::begin(const Gaze& gaze, std::vector<std::string> names) {
  const std::lock_guard<std::mutex> lock(mutex_);
  front_end_ = FrontEnd(gaze);
  names_ = std::move(names);
  places_.clear();
  last_ = nullptr;
  in_order_ = unknown_ = 0;
}

std::string PackageSites::name_in_order(const void* caller) {
  const bool in_order = last_ == nullptr || caller > last_;
  last_ = in_order ? caller : reinterpret_cast<const void*>(UINTPTR_MAX);
  return in_order && in_order_ < names_.size() ? names_[in_order_++] : name_unknown();
}

std::string PackageSites::name_unknown() { return "attention" + std::to_string(unknown_++); }

template <class MakeSite>
PackageSites::Target PackageSites::target(const void* caller, MakeSite make) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto [known, is_new] = places_.emplace(caller, Place{});
  if (is_new) known->second = make();
  return {front_end_, known->second};
}

// In a child of a fork, another thread may have left the lock taken. Where there is no memory for a site, its calls are
// not seen.

void PackageSites::see(const void* caller, const ops::Scores& scores) noexcept {
  if (generation_ != fork_generation()) return;
  try {
    Target found = target(caller, [&] {
      return Place{front_end_.add_site(site_of(name_in_order(caller), scores)), false};
    });
    if (found.place.site != FrontEnd::kNoSite) found.to.push(found.place.site, scores);
  } catch (...) {
  }
}

void PackageSites::see_observed(const void* caller, std::string_view site, const ops::Scores& scores) noexcept {
  if (generation_ != fork_generation()) return;
  try {
    Target found = target(caller, [&] {
      return Place{front_end_.add_site(site_of(std::string(site), scores)), false};
    });
    if (found.place.site != FrontEnd::kNoSite) found.to.push(found.place.site, scores);
  } catch (...) {
  }
}

void PackageSites::see_observed(const void* caller, std::string_view site, const at::Tensor& weights,
                                bool scaled) noexcept {
  if (generation_ != fork_generation()) return;
  try {
    Target found = target(caller, [&] {
      return Place{front_end_.add_site(site_of(std::string(site), weights)), scaled};
    });
    if (found.place.site != FrontEnd::kNoSite && found.to.wanted())
      push_weights(found.to, found.place.site, weights, scaled);
  } catch (...) {
  }
}

void PackageSites::see_product(const void* caller, const at::Tensor& operand) noexcept {
  if (generation_ != fork_generation()) return;
  try {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto known = places_.find(caller);
    std::optional<Place> place;
    if (known != places_.end()) place = known->second;
    FrontEnd to = front_end_;
    lock.unlock();
    if (place && place->site == FrontEnd::kNoSite) return;  // what most products are
    if (!to.wanted() || !is_plain(operand)) return;
    if (!place) {
      const at::NoGradGuard no_grad;
      const InsideTap inside;
      const std::optional<Likelihood> likely = judge_operand(operand);
      if (!likely) return;  // the next call may show more
      place = target(caller, [&] {
                return likely->weights ? Place{front_end_.add_site(site_of(name_unknown(), operand)), likely->scaled}
                                       : Place{};
              }).place;
    }
    if (place->site != FrontEnd::kNoSite) push_weights(to, place->site, operand, place->scaled);
  } catch (...) {
  }
}

}  // namespace gaze
