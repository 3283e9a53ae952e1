// SPDX-License-Identifier: MIT
#include "request/site_table.hpp"

#include <gaze/render/profile.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <utility>

#include "request/selection.hpp"

namespace gaze {
namespace {

constexpr size_t kMostNameBytes = 512;
constexpr size_t kMostTextBytes = 4096;

size_t bytes_of(const std::vector<std::string>& texts) {
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

CaptureSite site_of(const Site& site, Selection& selection, size_t index) {
  return {site,
          selection.selected[index] != 0,
          selection.between[index] != 0,
          selection.text[index] != 0,
          selection.encoder[index] != 0,
          std::move(selection.heads[index])};
}

}  // namespace

void check_site(const Site& site) {
  const auto control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
  if (site.name.empty() || site.name.size() > kMostNameBytes) {
    throw Error("site: name: expected 1 to " + std::to_string(kMostNameBytes) + " bytes, got " +
                std::to_string(site.name.size()) + ". Name it as the module that holds it.");
  }
  if (std::any_of(site.name.begin(), site.name.end(), control) || site.name.find('*') != std::string::npos) {
    throw Error("site: name: expected neither control characters nor *, got one. Name it as the module that holds it.");
  }
  if (site.kind != SiteKind::Softmax && site.kind != SiteKind::Sdpa) {
    throw Error("site: kind: expected softmax or sdpa for " + site.name + ", got neither.");
  }
  if (site.relation != SiteRelation::Self && site.relation != SiteRelation::Cross &&
      site.relation != SiteRelation::Unknown) {
    throw Error("site: relation: expected self, cross or unknown for " + site.name + ", got none of them.");
  }
  if (site.heads < 0 || site.kv_heads < 0) {
    throw Error("site: heads: expected at least 0 for " + site.name + ", got fewer. 0 says that they are not known.");
  }
  const size_t bytes = site.tower.size() + site.source.size() + bytes_of(site.q_reads) + bytes_of(site.k_reads) +
                       bytes_of(site.methods) + bytes_of(site.through);
  if (bytes > kMostTextBytes) {
    throw Error("site: expected at most " + std::to_string(kMostTextBytes) + " bytes of text beside the name of " +
                site.name + ", got " + std::to_string(bytes) + ".");
  }
}

SiteTable::SiteTable(const Profile& profile, const Options& options, const std::vector<Site>& told)
    : profile_(profile), options_(options), told_(told.size()), rules_(told.size() + kMostAdded) {
  std::vector<const Site*> sites;
  for (const Site& site : told) sites.push_back(&site);
  Selection selection = select(profile, options, sites, told_);
  rules_.reduce = selection.reduce;
  rules_.text_reduce = selection.text_reduce;
  rules_.rows = profile.rows;
  rules_.through_rollout = profile.through && profile.through->rollout;
  rules_.max_tokens = options.max_tokens;
  rules_.deferred_tokens = options.deferred_tokens;
  rules_.budget_bytes = options.queue_bytes;
  rules_.encoder_sites = std::count(selection.encoder.begin(), selection.encoder.end(), 1);
  for (size_t i = 0; i < told.size(); ++i) rules_.sites.append(site_of(told[i], selection, i));
  layers_text_ = std::move(selection.layers_text);
}

int64_t SiteTable::add(Site site) {
  check_site(site);
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t index = size();
  std::vector<const Site*> sites;
  for (int64_t i = 0; i < index; ++i) {
    if ((*this)[i].name == site.name) return i;
    sites.push_back(&(*this)[i]);
  }
  if (rules_.sites.full()) {
    throw Error("site: expected at most " + std::to_string(kMostAdded) + " sites more than attach was told of, got " +
                site.name + " beyond them. Name a site once, and push its calls under the index that it got.");
  }
  sites.push_back(&site);
  Selection selection = select(profile_, options_, sites, told_);
  rules_.sites.append(site_of(site, selection, static_cast<size_t>(index)));
  layers_text_ = std::move(selection.layers_text);
  return index;
}

std::string SiteTable::layers_text() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return layers_text_;
}

}  // namespace gaze
