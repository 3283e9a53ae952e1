// SPDX-License-Identifier: MIT
#include "request/selection.hpp"

#include <gaze/render/profile.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <set>
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
    if (made.selected[i] == 0 || sites[i]->relation != SiteRelation::Cross) continue;
    throw Error("layers: expected self-attention for a rollout, got " + sites[i]->name +
                ", which is cross-attention. For an encoder's rollout give the profile through, with reduce rollout.");
  }
}

/// What says which keys there are, not what they hold, is left out.
std::vector<std::string> content_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> content;
  for (const std::string& name : arguments) {
    if (name.find("mask") == std::string::npos && name.find("position") == std::string::npos) content.push_back(name);
  }
  return content;
}

/// The list of layers that a site is in, else the module that holds it.
std::string stack_of(const std::string& name) {
  size_t begin = 0;
  while (begin < name.size()) {
    const size_t end = std::min(name.find('.', begin), name.size());
    if (name.find_first_not_of("0123456789", begin) >= end) return name.substr(0, begin);
    begin = end + 1;
  }
  return name.substr(0, name.rfind('.') == std::string::npos ? 0 : name.rfind('.'));
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Whether `self` is made of what the keys of `cross` are made of. What a site reads is told of the first method that
/// holds it: where that of `cross` does not hold `self`, its keys come from outside there, and it is enough that some
/// method holds both.
bool makes_keys_of(const Site& cross, const Site& self) {
  const std::vector<std::string> content = content_of(self.k_reads);
  if (self.relation != SiteRelation::Self || self.channels || content.empty() || content_of(self.q_reads) != content)
    return false;
  if (stack_of(self.name) == stack_of(cross.name) || cross.methods.empty()) return false;
  if (has(self.methods, cross.methods.front())) return content_of(cross.k_reads) == content;
  return std::any_of(cross.methods.begin(), cross.methods.end(),
                     [&](const std::string& method) { return has(self.methods, method); });
}

/// The self-attention of one stack of layers that makes what the keys of all selected cross-attention are. None where a
/// map has no need of it, or the graph does not tell.
std::vector<char> encoder_of(const Profile& profile, const Sites& sites, const Selection& made) {
  const std::vector<char> none(sites.size(), 0);
  const bool sound = profile.sound || (profile.geometry && profile.geometry->time);
  if (!profile.encoder || profile.through || sound || made.reduce.layers == ops::LayerReduce::Rollout) return none;
  std::vector<const Site*> crosses;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (made.selected[i] == 0) continue;
    if (sites[i]->relation != SiteRelation::Cross || sites[i]->channels) return none;
    crosses.push_back(sites[i]);
  }
  std::vector<char> encoder = none;
  std::set<std::string> stacks;
  for (size_t i = 0; i < sites.size() && !crosses.empty(); ++i) {
    const Site& self = *sites[i];
    if (shared_type(self) ||
        !std::all_of(crosses.begin(), crosses.end(), [&](const Site* cross) { return makes_keys_of(*cross, self); })) {
      continue;
    }
    stacks.insert(stack_of(self.name));
    encoder[i] = 1;
  }
  return stacks.size() > 1 ? none : encoder;
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

/// Those of text.sites, or the selected ones.
std::vector<char> sites_of_text(const Profile& profile, const Sites& sites, const Selection& made, bool may_come) {
  if (!profile.text || profile.text->sites.empty()) return made.selected;
  std::vector<char> text(sites.size(), 0);
  for (const size_t i : matching("text.sites", profile.text->sites, sites, may_come)) text[i] = 1;
  return text;
}

/// Over a whole row every head has all of the mass, and one that looks at a sink alone is the most focused: all count
/// alike unless something else was said.
ops::ReduceOptions reduce_of_text(const Profile& profile, const Options& options, const ops::ReduceOptions& reduce) {
  ops::ReduceOptions text = reduce;
  if (!options.heads && !profile.heads) text.heads = ops::HeadReduce::Mean;
  if (!profile.geometry && profile.text && text.layers == ops::LayerReduce::Rollout) {
    throw Error(
        "layers: expected mean, max, last or weighted for a text, got rollout, which goes through every layer. Change "
        "GAZE_LAYERS or the profile's layers.");
  }
  return text;
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
  made.text = sites_of_text(profile, sites, made, may_come);
  made.text_reduce = reduce_of_text(profile, options, made.reduce);
  // Of a model whose sites come as they are called nothing is known of what their keys are made of.
  made.encoder = may_come ? std::vector<char>(sites.size(), 0) : encoder_of(profile, sites, made);
  made.layers_text = text_of(made, layers, count, selects, may_come);
  return made;
}

}  // namespace gaze
