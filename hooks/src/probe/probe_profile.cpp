// SPDX-License-Identifier: MIT
// From what a probe measured to a profile, and against one.
#include "probe/probe_profile.hpp"

#include <gaze/hooks/probe.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include "probe/key_layout.hpp"
#include "probe/key_timeline.hpp"
#include "probe/probe_verdict.hpp"

namespace gaze {
namespace {

constexpr double kProfileAgreement = 0.9;  // of the placed keys

/// Of the placed keys of a sound's geometry that it places within the sound: the share that lies within
/// reach of its place.
double agreement_in_time(const ProbedSite& site, const Geometry& geometry, const ProbeResult& result) {
  const double per_key = geometry.time->seconds_per_key / result.seconds_per_step;
  const double first = geometry.time->first_seconds / result.seconds_per_step;
  // A geometry begins half a key before or at its first key's centre.
  const double reach = reach_in_time(per_key, static_cast<double>(result.strip_width)) + per_key / 2;
  int64_t placed = 0;
  int64_t right = 0;
  int64_t within = 0;
  for (int64_t cell = 0; cell < geometry.cols; ++cell) {
    const ProbedKey& key = site.keys[static_cast<size_t>(geometry.first_cell() + cell)];
    const double wanted = first + per_key * (static_cast<double>(cell) + 0.5);
    if (wanted > static_cast<double>(result.width)) break;  // padding answers to anything
    ++within;
    placed += static_cast<int64_t>(key.placed);
    right += static_cast<int64_t>(key.placed && std::abs(key.x - wanted) <= reach);
  }
  return within == 0 || 2 * placed < within ? 0 : static_cast<double>(right) / static_cast<double>(placed);
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
        agreement_of(site, wanted, result) >= kProfileAgreement)
      agree.push_back(site.site.name);
  }
  if (result.medium == ProbeMedium::Picture)
    profile.image = ImageInput{{{result.method, result.argument}}, {}, {}, result.width, result.height};
  if (result.unit == "samples")
    profile.sound = SoundInput{{{result.method, result.argument}}, std::llround(1 / result.seconds_per_step), {}};
  profile.geometry = wanted;
  if (best->grows && wanted.spans.empty() &&
      wanted.first_key + wanted.keys() == static_cast<int64_t>(best->keys.size()))
    profile.geometry->cols = 0;
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

std::vector<KeySpan> stated_spans(const Profile& profile, const std::string& method,
                                  const std::vector<std::vector<int64_t>>& ids) {
  const Geometry& geometry = *profile.geometry;
  if (!profile.spans || !geometry.spans.empty() || geometry.first_key > 0) return geometry.spans;
  const auto named = profile.spans->argument.find(method);
  const bool given = named != profile.spans->argument.end() && named->second < static_cast<int64_t>(ids.size());
  const std::vector<int64_t> row = given ? ids[static_cast<size_t>(named->second)] : std::vector<int64_t>();
  if (row.empty())
    throw Error("probe: geometry.spans.argument." + method +
                ": expected the index of the prompt's token ids, int64 [batch, tokens], among the arguments, got none "
                "that are. Correct it, or probe a method that gets them.");
  std::vector<KeySpan> spans = spans_of(row, profile.spans->placeholder);
  if (spans.empty())
    throw Error("probe: geometry.spans.placeholder: expected a run of " + std::to_string(profile.spans->placeholder) +
                " among the prompt's " + std::to_string(row.size()) +
                " token ids, got none. Correct it, or give inputs with a picture in the prompt.");
  return spans;
}

namespace {

/// What the keys of one site differ in from a stated geometry; empty: they are in their places.
/// @param part  which of several pictures it is for; nothing: there is one
std::string difference(ProbedSite site, Geometry geometry, std::optional<int64_t> part, const ProbeResult& result) {
  const std::string measured = " Measured: " + site.verdict + ".";
  const auto keys = static_cast<int64_t>(site.keys.size());
  take_row(geometry, keys);
  geometry = stated_geometry(std::move(geometry), result);
  try {
    check_keys(geometry, keys, geometry.first_key == 0 && geometry.spans.empty());
  } catch (const Error& error) {
    return error.what() + measured;
  }
  for (ProbedKey& key : site.keys) key.placed = key.placed && (!part || key.part == *part);
  const double share = agreement_of(site, geometry, result);
  if (share >= kProfileAgreement) return "";
  return "expected " + describe(geometry, result) + (part ? " for picture " + std::to_string(*part) : "") +
         " with the keys in their places, got " + percent(share) + " there." + measured;
}

}  // namespace

std::vector<std::string> differences(const ProbeResult& result, const Profile& profile) {
  if (!profile.geometry)
    throw Error(
        "probe: profile: expected a geometry to verify, got a profile without. Leave the profile out to "
        "measure one.");
  Geometry geometry = *profile.geometry;
  if (profile.through) {  // these say where the latents are, which no region of the picture is
    geometry.first_key = 0;
    geometry.spans.clear();
  } else {
    geometry.spans = stated_spans(profile, result.method, result.ids);
  }
  std::vector<std::optional<int64_t>> pictures{std::nullopt};
  if (result.medium == ProbeMedium::Pictures && !geometry.spans.empty()) {
    if (static_cast<int64_t>(geometry.spans.size()) != result.parts)
      throw Error("probe: geometry.spans: expected one for each of the " + std::to_string(result.parts) +
                  " pictures in argument " + std::to_string(result.argument) + ", got " +
                  std::to_string(geometry.spans.size()) + ". Give the pictures of one prompt.");
    pictures.clear();
    for (int64_t part = 0; part < result.parts; ++part) pictures.emplace_back(part);
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
    if (site.keys.empty()) {
      found.push_back(site.site.name + ": " + site.verdict + ".");
      continue;
    }
    for (const std::optional<int64_t>& part : pictures) {
      if (part) geometry.picture = *part;
      const std::string differs = difference(site, geometry, part, result);
      if (!differs.empty()) found.push_back(site.site.name + ": " + differs);
    }
  }
  if (!any)
    throw Error("probe: profile: expected a pattern of sites that " + result.method +
                " calls, got none that matches. `gaze sites MODEL.pt` lists them.");
  return found;
}

}  // namespace gaze
