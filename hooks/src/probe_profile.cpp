// SPDX-License-Identifier: MIT
// From what a probe measured to a profile, and against one.
#include <gaze/hooks/probe.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include "key_layout.hpp"
#include "probe_verdict.hpp"

namespace gaze {
namespace {

constexpr double kAgreement = 0.9;  // of the placed keys

/// Of the placed keys of a sound's geometry: the share that lies within half a key, or a strip, of its place.
double agreement_in_time(const ProbedSite& site, const Geometry& geometry, const ProbeResult& result) {
  const double per_key = geometry.time->seconds_per_key / result.seconds_per_step;
  const double first = geometry.time->first_seconds / result.seconds_per_step;
  const double reach = std::max(per_key / 2, static_cast<double>(result.strip_width));
  int64_t placed = 0;
  int64_t right = 0;
  for (int64_t cell = 0; cell < geometry.cols; ++cell) {
    const ProbedKey& key = site.keys[static_cast<size_t>(geometry.first_cell() + cell)];
    const double wanted = first + per_key * (static_cast<double>(cell) + 0.5);
    placed += static_cast<int64_t>(key.placed);
    right += static_cast<int64_t>(key.placed && std::abs(key.x - wanted) <= reach + per_key / 2);
  }
  return 2 * placed < geometry.cols ? 0 : static_cast<double>(right) / static_cast<double>(placed);
}

double agreement_of(const ProbedSite& site, const Geometry& geometry, const ProbeResult& result) {
  const bool sound = result.medium == ProbeMedium::Sound;
  if (sound != geometry.time.has_value()) return 0;
  return sound ? agreement_in_time(site, geometry, result) : agreement(site.keys, geometry, result);
}

/// With what the probed input says of sizes.
Geometry stated_geometry(Geometry geometry, const ProbeResult& result) {
  const bool patches = result.medium == ProbeMedium::Patches;
  const int64_t pixels = patches ? std::max<int64_t>(1, geometry.patch) : 1;
  if (geometry.video && geometry.video->frames == 0)
    geometry.video->frames = patches ? result.parts * geometry.video->temporal_merge : result.parts;
  if (geometry.video && patches) {  // a list of patches holds one entry for a key frame
    geometry.video->frames = geometry.video->key_frames();
    geometry.video->temporal_merge = 1;
  }
  const Tiles tiles = result.medium == ProbeMedium::Tiles ? geometry.tiles.value_or(Tiles()) : Tiles();
  const int64_t width = result.width * tiles.cols * pixels;
  const int64_t height = result.height * tiles.rows * pixels;
  return resolve(geometry, {width, height, width, height});
}

}  // namespace

namespace {

/// Where the latents lie in the row of a site whose keys they are: what responds there, when that is one run.
std::optional<KeySpan> latents_of(const ProbedSite& site) {
  const auto responds = [](const ProbedKey& key) { return key.responds; };
  const auto first = std::find_if(site.keys.begin(), site.keys.end(), responds);
  const auto end = std::find_if_not(first, site.keys.end(), responds);
  if (first == site.keys.end() || std::any_of(end, site.keys.end(), responds)) return std::nullopt;
  return KeySpan{first - site.keys.begin(), end - first};
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Profile proposed_profile(const ProbeResult& result) {
  // Where latents stand between, the picture's keys are those of the sites between.
  std::vector<std::string> between;
  const ProbedSite* over_latents = nullptr;
  for (const ProbedSite& site : result.sites) {
    between.insert(between.end(), site.site.through.begin(), site.site.through.end());
    if (over_latents == nullptr && !site.site.through.empty()) over_latents = &site;
  }
  const bool any_proposed = std::any_of(result.sites.begin(), result.sites.end(),
                                        [](const ProbedSite& site) { return site.site.proposed && site.geometry; });
  const auto considered = [&](const ProbedSite& site) {
    if (!between.empty()) return site.geometry && contains(between, site.site.name);
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
  std::vector<std::string> agree;
  for (const ProbedSite& site : result.sites) {
    // Later sites between have the keys of the first, also where their latents have seen too much to make a grid.
    const bool candidate = considered(site) || contains(between, site.site.name);
    if (!candidate || site.keys.size() != best->keys.size()) continue;
    const Geometry& geometry = site.geometry ? *site.geometry : wanted;
    if (geometry.first_cell() == wanted.first_cell() && geometry.span() == wanted.span() &&
        agreement_of(site, wanted, result) >= kAgreement)
      agree.push_back(site.site.name);
  }
  if (result.medium == ProbeMedium::Picture)
    profile.image = ImageInput{{{result.method, result.argument}}, {}, {}, result.width, result.height};
  profile.geometry = wanted;
  if (over_latents == nullptr) {
    profile.sites = std::move(agree);
    return profile;
  }
  for (const ProbedSite& site : result.sites) {
    if (!site.site.through.empty()) profile.sites.push_back(site.site.name);
  }
  profile.through = Through{std::move(agree)};
  const std::optional<KeySpan> latents = latents_of(*over_latents);
  if (latents && latents->keys < static_cast<int64_t>(over_latents->keys.size())) profile.geometry->spans = {*latents};
  return profile;
}

std::vector<std::string> differences(const ProbeResult& result, const Profile& profile) {
  if (!profile.geometry)
    throw Error(
        "probe: profile: expected a geometry to verify, got a profile without. Leave the profile out to "
        "measure one.");
  Geometry geometry = stated_geometry(*profile.geometry, result);
  if (profile.through) {  // these say where the latents are, which no region of the picture is
    geometry.first_key = 0;
    geometry.spans.clear();
  }
  const std::vector<std::string>& patterns = profile.through ? profile.through->sites : profile.sites;
  std::vector<std::string> found;
  bool any = false;
  for (const ProbedSite& site : result.sites) {
    const bool selected =
        patterns.empty() ? site.site.proposed
                         : std::any_of(patterns.begin(), patterns.end(),
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
    const double share = agreement_of(site, geometry, result);
    if (share < kAgreement)
      found.push_back(site.site.name + ": expected " + describe(geometry, result) +
                      " with the keys in their places, got " + percent(share) + " there" + measured);
  }
  if (!any)
    throw Error("probe: profile: expected a pattern of sites that " + result.method +
                " calls, got none that matches. `gaze sites MODEL.pt` lists them.");
  return found;
}

}  // namespace gaze
