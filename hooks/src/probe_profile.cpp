// SPDX-License-Identifier: MIT
// From what a probe measured to a profile, and against one.
#include <gaze/hooks/probe.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>

#include "key_layout.hpp"
#include "probe_verdict.hpp"

namespace gaze {

Profile proposed_profile(const ProbeResult& result) {
  const bool any_proposed = std::any_of(result.sites.begin(), result.sites.end(),
                                        [](const ProbedSite& site) { return site.site.proposed && site.geometry; });
  const auto considered = [&](const ProbedSite& site) {
    return site.geometry && (site.site.proposed || !any_proposed);
  };
  const ProbedSite* best = nullptr;
  for (const ProbedSite& site : result.sites) {
    if (considered(site) && (best == nullptr || site.local_share > best->local_share)) best = &site;
  }
  if (best == nullptr)
    throw Error(
        "probe: expected a site whose keys make a grid, found none. The report says why; state the geometry in a "
        "profile of your own.");
  Profile profile;
  profile.name = "probed";
  const Geometry& wanted = *best->geometry;
  for (const ProbedSite& site : result.sites) {
    if (!considered(site) || site.keys.size() != best->keys.size()) continue;
    const Geometry& geometry = *site.geometry;
    if (geometry.first_cell() == wanted.first_cell() && geometry.span() == wanted.span() &&
        agreement(site.keys, wanted, result.width, result.height) >= 0.9)
      profile.sites.push_back(site.site.name);
  }
  profile.image = ImageInput{{{result.method, result.image_argument}}, {}, {}, result.width, result.height};
  profile.geometry = wanted;
  return profile;
}

std::vector<std::string> differences(const ProbeResult& result, const Profile& profile) {
  if (!profile.geometry)
    throw Error(
        "probe: profile: expected a geometry to verify, got a profile without. Leave the profile out to "
        "measure one.");
  const Geometry geometry = resolve(*profile.geometry, {result.width, result.height, 0, 0});
  std::vector<std::string> found;
  bool any = false;
  for (const ProbedSite& site : result.sites) {
    const bool selected =
        profile.sites.empty()
            ? site.site.proposed
            : std::any_of(profile.sites.begin(), profile.sites.end(),
                          [&](const std::string& pattern) { return glob_match(pattern, site.site.name); });
    if (!selected) continue;
    any = true;
    const std::string measured = ". Measured: " + site.verdict + ".";
    if (site.keys.empty()) {
      found.push_back(site.site.name + ": " + site.verdict + ".");
      continue;
    }
    try {
      check_keys(geometry, static_cast<int64_t>(site.keys.size()), geometry.first_key == 0 && geometry.spans.empty());
    } catch (const Error& error) {
      found.push_back(site.site.name + ": " + error.what() + " Measured: " + site.verdict + ".");
      continue;
    }
    const double share = agreement(site.keys, geometry, result.width, result.height);
    if (share < 0.9)
      found.push_back(site.site.name + ": expected the keys of " + describe(geometry, result.width, result.height) +
                      " in their cells, got " + percent(share) + " there" + measured);
  }
  if (!any)
    throw Error("probe: profile: expected a pattern of sites that " + result.method +
                " calls, got none that matches. `gaze sites MODEL.pt` lists them.");
  return found;
}

}  // namespace gaze
