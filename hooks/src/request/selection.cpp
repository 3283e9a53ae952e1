// SPDX-License-Identifier: MIT
#include "request/selection.hpp"

#include <gaze/render/profile.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace gaze {
namespace {

/// A site in a layer type with several instances, reached by calling such a layer directly: which one ran is not known.
bool shared_type(const Site& site) { return site.name.find('*') != std::string::npos; }

std::string list_of(const std::vector<Site>& sites) {
  std::string text;
  int64_t listed = 0;
  for (const Site& site : sites) {
    if (shared_type(site)) continue;
    if (++listed > 12) return text + ", ...";
    text += (listed == 1 ? "" : ", ") + site.name;
  }
  return text;
}

/// Indices of the sites that any pattern matches, each once.
std::vector<size_t> matching(const std::string& field, const std::vector<std::string>& patterns,
                             const std::vector<Site>& sites) {
  std::vector<size_t> matched;
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (size_t i = 0; i < sites.size(); ++i) {
      if (shared_type(sites[i]) || !glob_match(pattern, sites[i].name)) continue;
      any = true;
      if (std::find(matched.begin(), matched.end(), i) == matched.end()) matched.push_back(i);
    }
    if (!any) {
      throw Error("profile: " + field + ": expected a pattern of sites this model has (" + list_of(sites) +
                  "), got \"" + pattern + "\". `gaze sites MODEL.pt` lists them.");
    }
  }
  return matched;
}

/// What sites.match names, or what the model itself proposes; ascending.
std::vector<size_t> matched_sites(const Profile& profile, const std::vector<Site>& sites) {
  std::vector<size_t> matched = matching("sites.match", profile.sites, sites);
  if (profile.sites.empty()) {
    for (size_t i = 0; i < sites.size(); ++i) {
      if (!shared_type(sites[i]) && sites[i].proposed) matched.push_back(i);
    }
  }
  std::sort(matched.begin(), matched.end());
  return matched;
}

std::vector<char> sites_between(const Profile& profile, const std::vector<Site>& sites,
                                const std::vector<size_t>& matched) {
  std::vector<char> between(sites.size(), 0);
  if (!profile.through) return between;
  for (const size_t i : matching("through.match", profile.through->sites, sites)) {
    if (std::find(matched.begin(), matched.end(), i) != matched.end()) {
      throw Error("profile: through.match: expected sites other than those of sites.match, got " + sites[i].name +
                  " in both. Let sites.match name the sites over latents alone.");
    }
    between[i] = 1;
  }
  return between;
}

HeadChoice heads_of(const Profile& profile, const Options& options) {
  const bool selects = !profile.selected_heads.empty();
  const HeadChoice heads = options.heads.value_or(
      HeadChoice{profile.heads.value_or(selects ? ops::HeadReduce::Mean : ops::HeadReduce::Weighted), profile.head,
                 profile.top_k});
  if (selects && heads.kind == ops::HeadReduce::One) {
    throw Error(
        "heads: expected mean, max, min, weighted or topk beside the profile's heads.select, got one. Change "
        "GAZE_HEADS, or select that head.");
  }
  return heads;
}

/// With a kind and a range within `count` sites, but where there are none.
LayerChoice layers_of(const Profile& profile, const Options& options, ops::HeadReduce heads, int64_t count) {
  const bool selects = !profile.selected_heads.empty();
  LayerChoice layers;
  layers.kind = profile.layers;
  layers.first = profile.first_layer;
  layers.last = profile.last_layer;
  if (options.layers) {
    if (options.layers->kind) layers.kind = options.layers->kind;
    if (options.layers->first != 0 || options.layers->last != -1) {
      layers.first = options.layers->first;
      layers.last = options.layers->last;
    }
  }
  // Weighing the sites as well weighs every selected head alike, wherever it is.
  const bool weighted = selects && heads == ops::HeadReduce::Weighted;
  layers.kind = layers.kind.value_or(weighted ? ops::LayerReduce::Weighted : ops::LayerReduce::Mean);
  if (selects && layers.kind == ops::LayerReduce::Rollout) {
    throw Error(
        "layers: expected mean, max, last or weighted beside the profile's heads.select, got rollout, which goes "
        "through every layer. Change GAZE_LAYERS, or leave the selection out.");
  }
  if (layers.last < 0) layers.last = count - 1;
  // Without any, exact weights can still be had; a request says that no selected site ran.
  if (count > 0 && (layers.first < 0 || layers.first > layers.last || layers.last >= count)) {
    throw Error("layers: expected a range within the " + std::to_string(count) + " selected sites (0-" +
                std::to_string(count - 1) + "), got " + std::to_string(layers.first) + "-" +
                std::to_string(layers.last) + ". Change GAZE_LAYERS or the profile's layers.range.");
  }
  return layers;
}

/// Of the selected sites those, and of those the heads, that heads.select names.
void select_heads(const Profile& profile, const std::vector<Site>& sites, const std::vector<size_t>& matched,
                  CaptureRules& rules) {
  std::vector<Site> allowed;
  for (const size_t i : matched) {
    if (rules.selected[i] != 0) allowed.push_back(sites[i]);
  }
  std::fill(rules.selected.begin(), rules.selected.end(), 0);
  for (size_t n = 0; n < profile.selected_heads.size(); ++n) {
    const SiteHeads& of = profile.selected_heads[n];
    const std::string path = "profile: heads.select[" + std::to_string(n) + "].";
    const auto named = [&](const Site& site) { return site.name == of.site; };
    if (std::none_of(allowed.begin(), allowed.end(), named)) {
      throw Error(path + "site: expected a site that sites.match and layers.range leave (" + list_of(allowed) +
                  "), got \"" + of.site + "\". Write its whole name, as `gaze sites MODEL.pt` does.");
    }
    const auto site = static_cast<size_t>(std::find_if(sites.begin(), sites.end(), named) - sites.begin());
    std::vector<int64_t> heads = of.heads;
    std::sort(heads.begin(), heads.end());
    if (sites[site].heads > 0 && heads.back() >= sites[site].heads) {
      throw Error(path + "heads: expected heads of 0.." + std::to_string(sites[site].heads - 1) + " of " + of.site +
                  ", got " + std::to_string(heads.back()) + ". Correct the list.");
    }
    rules.selected[site] = 1;
    rules.heads[site] = std::move(heads);
  }
}

void check_one_head(const HeadChoice& heads, const std::vector<Site>& sites, const CaptureRules& rules) {
  if (heads.kind != ops::HeadReduce::One) return;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (rules.selected[i] == 0 || sites[i].heads == 0) continue;
    if (heads.head >= 0 && heads.head < sites[i].heads) continue;
    throw Error("heads: expected one of the " + std::to_string(sites[i].heads) + " heads of " + sites[i].name +
                ", counted from 0, got " + std::to_string(heads.head) + ". Change GAZE_HEADS or the profile's heads.");
  }
}

void check_rollout(const std::vector<Site>& sites, const CaptureRules& rules) {
  for (size_t i = 0; rules.reduce.layers == ops::LayerReduce::Rollout && i < sites.size(); ++i) {
    if (rules.selected[i] == 0 || sites[i].relation != "cross") continue;
    throw Error("layers: expected self-attention for a rollout, got " + sites[i].name +
                ", which is cross-attention. For an encoder's rollout give the profile through, with reduce rollout.");
  }
}

}  // namespace

Selection select(const Profile& profile, const Options& options, const std::vector<Site>& sites) {
  Selection made;
  CaptureRules& rules = made.rules;
  for (const Site& site : sites) rules.sites.push_back(site.name);
  const std::vector<size_t> matched = matched_sites(profile, sites);
  rules.between = sites_between(profile, sites, matched);
  const HeadChoice heads = heads_of(profile, options);
  const auto count = static_cast<int64_t>(matched.size());
  LayerChoice layers = layers_of(profile, options, heads.kind, count);
  rules.reduce.heads = heads.kind;
  rules.reduce.head = heads.head;
  rules.reduce.k = heads.k;
  rules.reduce.layers = *layers.kind;
  rules.through_rollout = profile.through && profile.through->rollout;
  rules.max_tokens = options.max_tokens;
  rules.deferred_tokens = options.deferred_tokens;
  rules.budget_bytes = options.queue_bytes;
  rules.selected.assign(sites.size(), 0);
  rules.heads.resize(sites.size());
  for (int64_t i = layers.first; i <= layers.last; ++i) rules.selected[matched[static_cast<size_t>(i)]] = 1;
  check_one_head(heads, sites, rules);
  const bool selects = !profile.selected_heads.empty();
  if (selects) select_heads(profile, sites, matched, rules);
  if (rules.reduce.layers == ops::LayerReduce::Last) {
    const auto last = std::find(rules.selected.rbegin(), rules.selected.rend(), 1);
    std::fill(last == rules.selected.rend() ? last : last + 1, rules.selected.rend(), 0);
    layers.first = layers.last;
  }
  check_rollout(sites, rules);
  made.layers_text = std::string(name(rules.reduce.layers)) + " of ";
  if (selects) {
    made.layers_text +=
        std::to_string(std::count(rules.selected.begin(), rules.selected.end(), 1)) + " sites with chosen heads";
  } else {
    made.layers_text +=
        "sites " + std::to_string(layers.first) + "-" + std::to_string(layers.last) + " of " + std::to_string(count);
  }
  return made;
}

}  // namespace gaze
