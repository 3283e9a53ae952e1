// SPDX-License-Identifier: MIT
#include "graph/left_names.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace gaze {
namespace {

/// Which sites belong together.
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), size_t{0}); }
  size_t of(size_t site) {
    while (parent_[site] != site) site = parent_[site];
    return site;
  }
  void join(size_t a, size_t b) {
    const size_t one = of(a);
    const size_t other = of(b);
    parent_[std::max(one, other)] = std::min(one, other);
  }

 private:
  std::vector<size_t> parent_;
};

using Indices = std::vector<size_t>;
using Calls = std::vector<std::string>;

/// What a loop of layers calls comes again and again from the same lines; what one function calls one after the other
/// are towers.
void join_loops(const std::vector<LeftSite>& sites, const Indices& members, size_t depth, Groups& groups) {
  std::vector<std::pair<std::string, Indices>> calls;  // in the order of the sites
  bool in_turns = false;
  for (const size_t site : members) {
    const auto& lines = sites[site].calls;
    const std::string line = depth < lines.size() ? lines[depth] : "";
    if (calls.empty() || calls.back().first != line) {
      in_turns =
          in_turns || std::any_of(calls.begin(), calls.end(), [&](const auto& call) { return call.first == line; });
      calls.emplace_back(line, Indices());
    }
    calls.back().second.push_back(site);
  }
  if (in_turns || (calls.size() == 1 && calls.front().first.empty())) {
    for (const size_t site : members) groups.join(members.front(), site);
    return;
  }
  for (const auto& [line, called] : calls) join_loops(sites, called, depth + 1, groups);
}

/// @param told  whether loops were seen by their lines: then only what stands in none is joined, as the two attentions
/// of a decoder of one layer
void join_streams(const std::vector<LeftSite>& sites, bool told, Groups& groups) {
  std::map<Calls, size_t> times;
  for (const LeftSite& site : sites) ++times[site.calls];
  std::map<const void*, size_t> first;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (told && times[sites[i].calls] > 1) continue;
    for (const void* value : sites[i].stream) groups.join(first.emplace(value, i).first->second, i);
  }
}

/// For each site the first one of the same module.
Indices modules_of(const std::vector<LeftSite>& sites) {
  Indices first(sites.size());
  std::map<std::tuple<const void*, std::string, Calls>, size_t> calls;
  std::map<std::pair<const void*, size_t>, size_t> modules;  // of the same weights, the first site of each call
  std::map<std::tuple<std::string, std::string, std::string>, size_t> times;
  std::map<std::tuple<std::string, std::string, size_t>, size_t> nameless;  // likewise, without weights
  for (size_t i = 0; i < sites.size(); ++i) {
    const LeftSite& site = sites[i];
    first[i] = i;
    if (site.matrix == nullptr) {
      // The nth from one line is the same in every method that leads to it.
      if (site.calls.size() < 2) continue;
      const size_t nth = times[{site.calls.front(), site.calls.back(), site.op}]++;
      first[i] = nameless.emplace(std::tuple(site.calls.back(), site.op, nth), i).first->second;
      continue;
    }
    if (site.instead_of && sites[*site.instead_of].matrix == site.matrix) {
      first[i] = first[*site.instead_of];
    } else {
      first[i] = modules.emplace(std::pair(site.matrix, calls[{site.matrix, site.op, site.calls}]++), i).first->second;
    }
  }
  return first;
}

Groups towers_of(const std::vector<LeftSite>& sites, const Indices& modules) {
  constexpr size_t kMethodAndLine = 2;  // all that a scripted file keeps
  Groups groups(sites.size());
  Indices all(sites.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const bool told =
      std::any_of(sites.begin(), sites.end(), [](const LeftSite& site) { return site.calls.size() > kMethodAndLine; });
  if (told) join_loops(sites, all, 0, groups);
  join_streams(sites, told, groups);
  for (const size_t i : all) groups.join(modules[i], i);
  return groups;
}

/// "modeling_bart.py": "bart".
std::string label_of(const std::string& file) {
  static const std::string kModeling = "modeling_";
  std::string label = file.substr(0, file.rfind(".py"));
  if (label.rfind(kModeling, 0) == 0) label = label.substr(kModeling.size());
  std::replace_if(
      label.begin(), label.end(), [](char c) { return c == '.' || c == '#' || c == '*' || c == '?' || c == '['; }, '_');
  return label.empty() ? "attention" : label;
}

}  // namespace

std::vector<LeftName> names_of_left(const std::vector<LeftSite>& sites) {
  const Indices modules = modules_of(sites);
  Groups groups = towers_of(sites, modules);
  std::map<std::string, Indices> towers;  // of each label
  std::vector<std::string> labels(sites.size());
  for (size_t i = 0; i < sites.size(); ++i) {
    if (groups.of(i) == i) towers[labels[i] = label_of(sites[i].file)].push_back(i);
  }
  std::vector<LeftName> names(sites.size());
  std::map<std::tuple<size_t, SiteRelation, Calls>, size_t> layers;
  std::map<std::string, size_t> taken;
  for (size_t i = 0; i < sites.size(); ++i) {
    const LeftSite& site = sites[i];
    if (modules[i] != i) {
      names[i] = names[modules[i]];
      continue;
    }
    const size_t tower = groups.of(i);
    const Indices& alike = towers.at(labels[tower]);
    const auto at = std::find(alike.begin(), alike.end(), tower) - alike.begin();
    names[i].tower = labels[tower] + (alike.size() > 1 ? "_" + std::to_string(at + 1) : "");
    const size_t layer = layers[{tower, site.relation, site.calls}]++;
    const char* const kind = site.relation == SiteRelation::Unknown ? "attention" : name(site.relation);
    const std::string called = names[i].tower + "." + std::to_string(layer) + "." + kind;
    const size_t alike_before = taken[called]++;  // another line of the same layer
    names[i].name = called + (alike_before > 0 ? "_" + std::to_string(alike_before + 1) : "");
  }
  return names;
}

}  // namespace gaze
