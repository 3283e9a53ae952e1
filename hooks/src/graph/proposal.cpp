// SPDX-License-Identifier: MIT
// Which sites would make the overlay when no profile says otherwise.
#include <gaze/hooks/sites.hpp>

#include <algorithm>

namespace gaze {
namespace {

/// The cross-attention of another tower, whose first queries are parameters, when `site` reads what that read and more.
template <typename Cross, typename Fused>
std::vector<std::string> between(const Site& site, const std::vector<Site>& sites, Cross&& cross, Fused&& fused) {
  std::vector<std::string> names;
  if (site.channels || site.relation != SiteRelation::Self || !fused(site)) return names;
  const auto reads = [&](const std::string& name) {
    return std::find(site.k_reads.begin(), site.k_reads.end(), name) != site.k_reads.end();
  };
  const auto latents = std::find_if(sites.begin(), sites.end(), [&](const Site& other) {
    return !other.channels && cross(other) && other.tower != site.tower && other.q_reads.empty() &&
           !other.k_reads.empty() && std::all_of(other.k_reads.begin(), other.k_reads.end(), reads);
  });
  if (latents == sites.end()) return names;
  for (const Site& other : sites) {
    if (cross(other) && other.tower == latents->tower) names.push_back(other.name);
  }
  return names;
}

}  // namespace

void propose(std::vector<Site>& sites) {
  const auto any = [&](auto&& holds) {
    return std::any_of(sites.begin(), sites.end(), [&](const Site& site) { return !site.channels && holds(site); });
  };
  const auto cross = [](const Site& site) { return site.relation == SiteRelation::Cross; };
  // Masks and positions say which keys there are, not what they hold.
  const auto content = [](const std::string& name) {
    return name.find("mask") == std::string::npos && name.find("position") == std::string::npos;
  };
  const auto fused = [&](const Site& site) {
    return std::count_if(site.k_reads.begin(), site.k_reads.end(), content) > 1;
  };
  for (Site& site : sites) site.through = between(site, sites, cross, fused);
  const bool any_through = any([](const Site& site) { return !site.through.empty(); });
  const bool any_cross = any(cross);
  const bool any_fused = any(fused);
  for (Site& site : sites) {
    site.proposed = !site.channels && (any_through ? !site.through.empty()
                                       : any_cross ? cross(site)
                                       : any_fused ? fused(site)
                                                   : true);
  }
}

}  // namespace gaze
