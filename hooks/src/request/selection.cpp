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

/// By index.
using Sites = std::vector<const Site*>;

std::string list_of(const Sites& sites) {
  std::string text;
  int64_t listed = 0;
  for (const Site* site : sites) {
    if (shared_type(*site)) continue;
    if (++listed > 12) return text + ", ...";
    text += (listed == 1 ? "" : ", ") + site->name;
  }
  return text;
}

/// Indices of the sites that any pattern matches, each once.
std::vector<size_t> matching(const std::string& field, const std::vector<std::string>& patterns, const Sites& sites,
                             bool may_come) {
  std::vector<size_t> matched;
  for (const std::string& pattern : patterns) {
    bool any = may_come;
    for (size_t i = 0; i < sites.size(); ++i) {
      if (shared_type(*sites[i]) || !glob_match(pattern, sites[i]->name)) continue;
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
std::vector<size_t> matched_sites(const Profile& profile, const Sites& sites, bool may_come) {
  std::vector<size_t> matched = matching("sites.match", profile.sites, sites, may_come);
  if (profile.sites.empty()) {
    for (size_t i = 0; i < sites.size(); ++i) {
      if (!shared_type(*sites[i]) && sites[i]->proposed) matched.push_back(i);
    }
  }
  std::sort(matched.begin(), matched.end());
  return matched;
}

std::vector<char> sites_between(const Profile& profile, const Sites& sites, const std::vector<size_t>& matched,
                                bool may_come) {
  std::vector<char> between(sites.size(), 0);
  if (!profile.through) return between;
  for (const size_t i : matching("through.match", profile.through->sites, sites, may_come)) {
    if (std::find(matched.begin(), matched.end(), i) != matched.end()) {
      throw Error("profile: through.match: expected sites other than those of sites.match, got " + sites[i]->name +
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

/// With a kind and a range within `count` sites, but where there are none, or none of the range has come yet.
LayerChoice layers_of(const Profile& profile, const Options& options, ops::HeadReduce heads, int64_t count,
                      bool may_come) {
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
  const bool to_the_end = layers.last < 0;
  if (to_the_end) layers.last = count - 1;
  const bool ordered = layers.first >= 0 && (layers.first <= layers.last || (may_come && to_the_end));
  // Without any, exact weights can still be had; a request says that no selected site ran.
  if ((count > 0 || may_come) && (!ordered || (layers.last >= count && !may_come))) {
    throw Error("layers: expected a range within the " + std::to_string(count) + " selected sites (0-" +
                std::to_string(count - 1) + "), got " + std::to_string(layers.first) + "-" +
                std::to_string(layers.last) + ". Change GAZE_LAYERS or the profile's layers.range.");
  }
  layers.last = std::min(layers.last, count - 1);
  return layers;
}

/// Of the selected sites those, and of those the heads, that heads.select names.
void select_heads(const Profile& profile, const Sites& sites, const std::vector<size_t>& matched, bool may_come,
                  Selection& made) {
  Sites allowed;
  for (const size_t i : matched) {
    if (made.selected[i] != 0) allowed.push_back(sites[i]);
  }
  std::fill(made.selected.begin(), made.selected.end(), 0);
  for (size_t n = 0; n < profile.selected_heads.size(); ++n) {
    const SiteHeads& of = profile.selected_heads[n];
    const std::string path = "profile: heads.select[" + std::to_string(n) + "].";
    const auto named = [&](const Site* site) { return site->name == of.site; };
    if (std::none_of(allowed.begin(), allowed.end(), named)) {
      if (may_come) continue;
      throw Error(path + "site: expected a site that sites.match and layers.range leave (" + list_of(allowed) +
                  "), got \"" + of.site + "\". Write its whole name, as `gaze sites MODEL.pt` does.");
    }
    const auto site = static_cast<size_t>(std::find_if(sites.begin(), sites.end(), named) - sites.begin());
    std::vector<int64_t> heads = of.heads;
    std::sort(heads.begin(), heads.end());
    if (sites[site]->heads > 0 && heads.back() >= sites[site]->heads) {
      throw Error(path + "heads: expected heads of 0.." + std::to_string(sites[site]->heads - 1) + " of " + of.site +
                  ", got " + std::to_string(heads.back()) + ". Correct the list.");
    }
    made.selected[site] = 1;
    made.heads[site] = std::move(heads);
  }
}

void check_one_head(const HeadChoice& heads, const Sites& sites, const Selection& made) {
  if (heads.kind != ops::HeadReduce::One) return;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (made.selected[i] == 0 || sites[i]->heads == 0) continue;
    if (heads.head >= 0 && heads.head < sites[i]->heads) continue;
    throw Error("heads: expected one of the " + std::to_string(sites[i]->heads) + " heads of " + sites[i]->name +
                ", counted from 0, got " + std::to_string(heads.head) + ". Change GAZE_HEADS or the profile's heads.");
  }
}

void check_rollout(const Sites& sites, const Selection& made) {
  for (size_t i = 0; made.reduce.layers == ops::LayerReduce::Rollout && i < sites.size(); ++i) {
    if (made.selected[i] == 0 || sites[i]->relation != "cross") continue;
    throw Error("layers: expected self-attention for a rollout, got " + sites[i]->name +
                ", which is cross-attention. For an encoder's rollout give the profile through, with reduce rollout.");
  }
}

bool takes_last(const Profile& profile, const Options& options) {
  const auto kind = options.layers && options.layers->kind ? options.layers->kind : profile.layers;
  return kind == ops::LayerReduce::Last;
}

/// Which of the sites is the last must not change under a request: it is one that attach was told of.
void keep_told(std::vector<size_t>& matched, size_t told) {
  if (told == 0) {
    throw Error(
        "layers: expected mean, max, weighted or rollout for a model whose sites attach is not told, got last: which "
        "one that is is not known. Give attach the sites, or change GAZE_LAYERS or the profile's layers.");
  }
  matched.erase(std::lower_bound(matched.begin(), matched.end(), told), matched.end());
}

std::string text_of(const Selection& made, const LayerChoice& layers, int64_t count, bool selects, bool may_come) {
  const std::string kind = std::string(name(made.reduce.layers)) + " of ";
  if (selects) {
    return kind + std::to_string(std::count(made.selected.begin(), made.selected.end(), 1)) +
           " sites with chosen heads";
  }
  if (may_come && layers.first > layers.last) return kind + "sites that are not known yet";
  return kind + "sites " + std::to_string(layers.first) + "-" + std::to_string(layers.last) + " of " +
         std::to_string(count);
}

}  // namespace

Selection select(const Profile& profile, const Options& options, const std::vector<const Site*>& sites, size_t told) {
  Selection made;
  const bool may_come = told == 0 || sites.size() > told;
  std::vector<size_t> matched = matched_sites(profile, sites, may_come);
  made.between = sites_between(profile, sites, matched, may_come);
  const HeadChoice heads = heads_of(profile, options);
  if (may_come && takes_last(profile, options)) keep_told(matched, told);
  const auto count = static_cast<int64_t>(matched.size());
  LayerChoice layers = layers_of(profile, options, heads.kind, count, may_come);
  made.reduce.heads = heads.kind;
  made.reduce.head = heads.head;
  made.reduce.k = heads.k;
  made.reduce.layers = *layers.kind;
  made.selected.assign(sites.size(), 0);
  made.heads.resize(sites.size());
  for (int64_t i = layers.first; i <= layers.last; ++i) made.selected[matched[static_cast<size_t>(i)]] = 1;
  check_one_head(heads, sites, made);
  const bool selects = !profile.selected_heads.empty();
  if (selects) select_heads(profile, sites, matched, may_come, made);
  if (made.reduce.layers == ops::LayerReduce::Last) {
    const auto latest = std::find(made.selected.rbegin(), made.selected.rend(), 1);
    std::fill(latest == made.selected.rend() ? latest : latest + 1, made.selected.rend(), 0);
    layers.first = layers.last;
  }
  check_rollout(sites, made);
  made.layers_text = text_of(made, layers, count, selects, may_come);
  return made;
}

}  // namespace gaze
