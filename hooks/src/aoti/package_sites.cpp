// SPDX-License-Identifier: MIT
#include "aoti/package_sites.hpp"

#include <c10/core/GradMode.h>

#include <algorithm>
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

void PackageSites::push_weights(FrontEnd& to, const Place& place, const at::Tensor& weights) {
  if (!place.scaled) return to.push(place.site, weights);
  if (!is_plain(weights)) return;
  const at::NoGradGuard no_grad;
  const InsideTap inside;
  to.push(place.site, with_rows_of_one(weights));
}

template <class MakePlace>
PackageSites::Target PackageSites::target(const void* caller, MakePlace make) {
  if (generation_ != fork_generation()) return {};  // a child, where another thread may have left the lock taken
  std::unique_lock<std::mutex> lock(mutex_);
  const auto known = places_.find(caller);
  if (known != places_.end() && known->second.looks == 0) {
    if (known->second.site == FrontEnd::kNoSite) return {};  // what most products are
    const Place place = known->second;
    FrontEnd to = front_end_;
    lock.unlock();
    return to.wanted() ? Target{std::move(to), place} : Target{};
  }
  if (!front_end_.wanted()) return {};
  const Place made = make(known == places_.end() ? 0 : known->second.looks);
  places_.insert_or_assign(caller, made);
  return {front_end_, made};
}

// Where there is no memory for a site, its calls are not seen.

void PackageSites::see(const void* caller, const ops::Scores& scores) noexcept {
  try {
    Target found =
        target(caller, [&](int) { return Place{front_end_.add_site(site_of(name_in_order(caller), scores))}; });
    if (found) found.to.push(found.place.site, scores);
  } catch (...) {
  }
}

void PackageSites::see_observed(const void* caller, std::string_view site, const ops::Scores& scores) noexcept {
  try {
    Target found = target(caller, [&](int) { return Place{front_end_.add_site(site_of(std::string(site), scores))}; });
    if (found) found.to.push(found.place.site, scores);
  } catch (...) {
  }
}

void PackageSites::see_observed(const void* caller, std::string_view site, const at::Tensor& weights,
                                bool scaled) noexcept {
  try {
    Target found = target(caller, [&](int) {
      return Place{front_end_.add_site(site_of(std::string(site), weights)), scaled};
    });
    if (found) push_weights(found.to, found.place, weights);
  } catch (...) {
  }
}

PackageSites::Place PackageSites::judged(const at::Tensor& operand, int looks) {
  constexpr int kMostLooks = 8;
  if (!is_plain(operand) || !operand.is_cpu() || !operand.is_floating_point() || operand.dim() != 3) return {};
  // One key says nothing, and costs nothing: the next call has more.
  if (operand.size(2) < 2 || operand.numel() == 0) return {.looks = std::max(looks, 1)};
  const at::NoGradGuard no_grad;
  const InsideTap inside;
  const Likelihood likely = judge_operand(operand);
  if (likely == Likelihood::Unsure && looks + 1 < kMostLooks) return {.looks = looks + 1};
  if (likely != Likelihood::Weights && likely != Likelihood::Scaled) return {};
  return {.site = front_end_.add_site(site_of(name_unknown(), operand)), .scaled = likely == Likelihood::Scaled};
}

void PackageSites::see_product(const void* caller, const at::Tensor& operand) noexcept {
  try {
    Target found = target(caller, [&](int looks) { return judged(operand, looks); });
    if (found) push_weights(found.to, found.place, operand);
  } catch (...) {
  }
}

}  // namespace gaze
