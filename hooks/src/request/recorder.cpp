// SPDX-License-Identifier: MIT
#include "request/recorder.hpp"

#include <gaze/render/profile.hpp>

#include <algorithm>
#include <map>
#include <random>

#include "request/instrumented.hpp"

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

/// The stated argument of every root method, -1 where none is.
std::vector<int64_t> arguments_of(const std::string& field, const std::map<std::string, int64_t>& stated,
                                  const Instrumented& instrumented) {
  std::vector<int64_t> arguments(instrumented.methods.size(), -1);
  for (const auto& [method, argument] : stated) {
    const auto at = std::find(instrumented.methods.begin(), instrumented.methods.end(), method);
    if (at == instrumented.methods.end()) {
      throw Error("profile: " + field + method +
                  ": expected a method of the model, got none of that name. Remove the entry or correct it.");
    }
    const auto index = static_cast<size_t>(at - instrumented.methods.begin());
    if (argument < 0 || argument >= instrumented.arguments[index]) {
      throw Error("profile: " + field + method + ": expected an index below " +
                  std::to_string(instrumented.arguments[index]) + ", got " + std::to_string(argument) +
                  ". Count the method's arguments from 0, without self.");
    }
    arguments[index] = argument;
  }
  return arguments;
}

}  // namespace

Recorder::Recorder(Options given_options, Profile given_profile, Instrumented& given_instrumented)
    : options(std::move(given_options)), profile(std::move(given_profile)), instrumented(given_instrumented) {
  const auto& sites = instrumented.sites;
  std::vector<size_t> matched = matching("sites.match", profile.sites, sites);
  if (profile.sites.empty()) {
    for (size_t i = 0; i < sites.size(); ++i) {
      if (!shared_type(sites[i]) && sites[i].proposed) matched.push_back(i);
    }
  }
  std::sort(matched.begin(), matched.end());
  between_.assign(sites.size(), 0);
  if (profile.through) {
    for (const size_t i : matching("through.match", profile.through->sites, sites)) {
      if (std::find(matched.begin(), matched.end(), i) != matched.end()) {
        throw Error("profile: through.match: expected sites other than those of sites.match, got " + sites[i].name +
                    " in both. Let sites.match name the sites over latents alone.");
      }
      between_[i] = 1;
    }
  }

  const bool selects = !profile.selected_heads.empty();
  const HeadChoice heads = options.heads.value_or(
      HeadChoice{profile.heads.value_or(selects ? ops::HeadReduce::Mean : ops::HeadReduce::Weighted), profile.head,
                 profile.top_k});
  if (selects && heads.kind == ops::HeadReduce::One) {
    throw Error(
        "heads: expected mean, max, min, weighted or topk beside the profile's heads.select, got one. Change "
        "GAZE_HEADS, or select that head.");
  }
  reduce.heads = heads.kind;
  reduce.head = heads.head;
  reduce.k = heads.k;
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
  const bool weighted = selects && heads.kind == ops::HeadReduce::Weighted;
  reduce.layers = layers.kind.value_or(weighted ? ops::LayerReduce::Weighted : ops::LayerReduce::Mean);
  if (selects && reduce.layers == ops::LayerReduce::Rollout) {
    throw Error(
        "layers: expected mean, max, last or weighted beside the profile's heads.select, got rollout, which goes "
        "through every layer. Change GAZE_LAYERS, or leave the selection out.");
  }
  const auto count = static_cast<int64_t>(matched.size());
  if (layers.last < 0) layers.last = count - 1;
  // Without any, exact weights can still be had; a request says that no selected site ran.
  if (count > 0 && (layers.first < 0 || layers.first > layers.last || layers.last >= count)) {
    throw Error("layers: expected a range within the " + std::to_string(count) + " selected sites (0-" +
                std::to_string(count - 1) + "), got " + std::to_string(layers.first) + "-" +
                std::to_string(layers.last) + ". Change GAZE_LAYERS or the profile's layers.range.");
  }
  selected_.assign(sites.size(), 0);
  heads_.resize(sites.size());
  for (int64_t i = layers.first; i <= layers.last; ++i) selected_[matched[static_cast<size_t>(i)]] = 1;
  for (size_t i = 0; heads.kind == ops::HeadReduce::One && i < sites.size(); ++i) {
    if (selected_[i] == 0 || sites[i].heads == 0) continue;
    if (heads.head >= 0 && heads.head < sites[i].heads) continue;
    throw Error("heads: expected one of the " + std::to_string(sites[i].heads) + " heads of " + sites[i].name +
                ", counted from 0, got " + std::to_string(heads.head) + ". Change GAZE_HEADS or the profile's heads.");
  }
  if (selects) select_heads(matched);
  if (reduce.layers == ops::LayerReduce::Last) {
    const auto last = std::find(selected_.rbegin(), selected_.rend(), 1);
    std::fill(last == selected_.rend() ? last : last + 1, selected_.rend(), 0);
    layers.first = layers.last;
  }
  for (size_t i = 0; reduce.layers == ops::LayerReduce::Rollout && i < sites.size(); ++i) {
    if (!selected(static_cast<int64_t>(i)) || sites[i].relation != "cross") continue;
    throw Error("layers: expected self-attention for a rollout, got " + sites[i].name +
                ", which is cross-attention. For an encoder's rollout give the profile through, with reduce rollout.");
  }
  layers_text = std::string(name(reduce.layers)) + " of ";
  if (selects) {
    layers_text += std::to_string(std::count(selected_.begin(), selected_.end(), 1)) + " sites with chosen heads";
  } else {
    layers_text +=
        "sites " + std::to_string(layers.first) + "-" + std::to_string(layers.last) + " of " + std::to_string(count);
  }

  image_arguments_ = arguments_of(
      "image.argument.", profile.image ? profile.image->argument : std::map<std::string, int64_t>(), instrumented);
  sound_arguments_ = arguments_of(
      "sound.argument.", profile.sound ? profile.sound->argument : std::map<std::string, int64_t>(), instrumented);
  ids_arguments_ =
      arguments_of("geometry.spans.argument.",
                   profile.spans ? profile.spans->argument : std::map<std::string, int64_t>(), instrumented);
  draws_ = std::random_device{}();
}

void Recorder::select_heads(const std::vector<size_t>& matched) {
  const auto& sites = instrumented.sites;
  std::vector<Site> allowed;
  for (const size_t i : matched) {
    if (selected_[i] != 0) allowed.push_back(sites[i]);
  }
  std::fill(selected_.begin(), selected_.end(), 0);
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
    selected_[site] = 1;
    heads_[site] = std::move(heads);
  }
}

Recorder::~Recorder() = default;

bool Recorder::sample() noexcept {
  if (options.sample_rate >= 1) return true;
  uint64_t z =
      draws_.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed);  // splitmix64: no lock, no state per thread
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53 < options.sample_rate;
}

AttentionRecord Recorder::blank_record() const {
  AttentionRecord record;
  if (profile.geometry) record.geometry = *profile.geometry;
  record.style = options.style;
  if (options.colormap) record.style.colormap = *options.colormap;
  record.reduce = reduce;
  record.layers = layers_text;
  record.model_path = options.model_path;
  record.profile = profile.name;
  return record;
}

}  // namespace gaze
