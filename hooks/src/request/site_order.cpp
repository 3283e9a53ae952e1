// SPDX-License-Identifier: MIT
#include "request/site_order.hpp"

#include <algorithm>

namespace gaze {
namespace {

std::string number(int64_t n) { return n > 0 ? std::to_string(n) : "?"; }

std::string text_of(int64_t heads, int64_t head_size) { return number(heads) + " heads of " + number(head_size); }

std::string text_of(const SiteOrder::Call& call) {
  return text_of(call.heads, call.head_size) + ", " + std::to_string(call.queries) + " queries over " +
         std::to_string(call.keys) + " keys";
}

bool same(int64_t a, int64_t b) { return a == b || a == 0 || b == 0; }

}  // namespace

SiteOrder::SiteOrder(const std::vector<StepSite>& told) : told_(!told.empty()) {
  for (const StepSite& each : told) {
    sites_.push_back({each.site.name, each.site.heads, each.site.kv_heads, each.head_size, each.in_step});
    calls_before_steps_ = calls_before_steps_ || !each.in_step;
  }
}

SiteOrder::Call SiteOrder::unpacked(Call call, int64_t heads, int64_t kv_heads) noexcept {
  if (kv_heads == 0 || heads <= kv_heads || call.heads != kv_heads || call.queries != heads / kv_heads) return call;
  call.heads = heads;
  call.queries = 1;
  return call;
}

bool SiteOrder::alike(const Known& site, const Call& as_it_came) {
  const Call call = unpacked(as_it_came, site.heads, site.kv_heads);
  return same(site.heads, call.heads) && same(site.head_size, call.head_size);
}

/// A cache grew by the call's queries, keys stood still, or all of the sequence is computed anew.
bool SiteOrder::goes_on(const Known& site, const Call& as_it_came) {
  const Call call = unpacked(as_it_came, site.heads, site.kv_heads);
  return site.keys < 0 || call.keys == site.keys + call.queries || call.keys == site.keys || call.keys == call.queries;
}

std::string SiteOrder::what_stands_at(size_t site) const {
  if (site >= sites_.size()) return "no call more, for a step has " + std::to_string(sites_.size());
  const Known& known = sites_[site];
  return known.name + " (" + text_of(known.heads, known.head_size) + ")";
}

std::optional<int64_t> SiteOrder::refuse(const std::string& text) {
  problem_ = "sites: " + text;
  return std::nullopt;
}

std::optional<int64_t> SiteOrder::take(size_t site, const Call& call) {
  Known& known = sites_[site];
  known.keys = call.keys;
  known.queries = unpacked(call, known.heads, known.kv_heads).queries;
  // What was not told is known by the first call.
  if (known.heads == 0) known.heads = call.heads;
  if (known.kv_heads == 0) known.kv_heads = call.kv_heads;
  if (known.head_size == 0) known.head_size = call.head_size;
  next_ = site + 1;
  begun_ = true;
  return static_cast<int64_t>(site);
}

std::optional<int64_t> SiteOrder::add(const Call& call) {
  if (sites_.size() == kMostFound) {
    return refuse(
        "expected at most " + std::to_string(kMostFound) +
        " attention calls in a step of the model, got more: where its steps begin cannot be told from a cache "
        "that does not grow. Mark them with Gaze::step().");
  }
  sites_.push_back({"attention" + std::to_string(sites_.size()), call.heads, call.kv_heads, call.head_size});
  return take(sites_.size() - 1, call);
}

void SiteOrder::check_whole() {
  if (!begun_ || steps_ == 0 || !problem_.empty()) return;
  if (!told_ && steps_ == 1) return;  // the step that the sites are found by
  if (next_ == sites_.size()) return;
  refuse("expected " + what_stands_at(next_) +
         " to run in every step of the model, got a step that ended before it: "
         "which call is of which site cannot be told where layers are left out. Name the sites by a front end of the "
         "model's own (gaze/hooks/front_end.hpp).");
}

void SiteOrder::step() {
  if (marked_) check_whole();
  marked_ = true;
  ++steps_;
  next_ = 0;
  begun_ = false;
}

void SiteOrder::end() {
  if (marked_) check_whole();
}

std::optional<int64_t> SiteOrder::next(const Call& call) {
  if (!problem_.empty()) return std::nullopt;
  if (marked_) return in_marked_step(call);
  if (told_) return calls_before_steps_ ? before_steps(call) : in_row(call);
  return found(call);
}

/// An encoder's calls, which a host's loop makes by themselves.
std::optional<int64_t> SiteOrder::before_steps(const Call& call) {
  for (const bool again : {false, true}) {
    const size_t site = again ? 0 : next_;
    if (site < sites_.size() && !sites_[site].in_step && alike(sites_[site], call)) return take(site, call);
  }
  return kNone;
}

std::optional<int64_t> SiteOrder::in_marked_step(const Call& call) {
  const bool finding = !told_ && steps_ == 1;
  if (finding) return add(call);
  if (begun_) {
    if (next_ < sites_.size() && alike(sites_[next_], call)) return take(next_, call);
    return refuse("expected " + what_stands_at(next_) + " as in the step before, got a call of " + text_of(call) +
                  ". Mark each step with Gaze::step(), and tell all calls of one, in their order.");
  }
  // A later step may leave out what stands before the decoder: the tower of a picture that was read by then.
  std::optional<size_t> first;
  for (size_t site = 0; site < sites_.size(); ++site) {
    if (!sites_[site].in_step || !alike(sites_[site], call)) continue;
    if (!first) first = site;
    if (sites_[site].keys >= 0 && goes_on(sites_[site], call)) return take(site, call);
  }
  if (first) return take(*first, call);
  // Of another model's, a small one that runs before, say.
  return told_ ? std::optional<int64_t>(kNone)
               : refuse("expected a step like those before, got a call of " + text_of(call) + ".");
}

/// Told calls, one step behind the other.
std::optional<int64_t> SiteOrder::in_row(const Call& call) {
  if (next_ == sites_.size()) next_ = 0;
  if (alike(sites_[next_], call) && goes_on(sites_[next_], call)) return take(next_, call);
  return refuse("expected " + what_stands_at(next_) + ", got a call of " + text_of(call) +
                " that does not follow what it saw before. Mark each step with Gaze::step().");
}

/// Without marks and names: the keys of a self-attention grow by its queries.
std::optional<int64_t> SiteOrder::found(const Call& call) {
  const auto grew = [&](const Known& site) {
    return alike(site, call) && call.keys == site.keys + unpacked(call, site.heads, site.kv_heads).queries;
  };
  if (grown_) {
    if (next_ == sites_.size()) next_ = first_;
    const Known& site = sites_[next_];
    if (alike(site, call) && (grew(site) || call.keys == site.keys)) return take(next_, call);
    return refuse("expected " + what_stands_at(next_) +
                  " over keys that grew by its queries or stayed, got a call of " + text_of(call) +
                  ". Mark each step with Gaze::step().");
  }
  const auto again = std::find_if(sites_.begin(), sites_.end(), grew);
  if (again != sites_.end()) {
    grown_ = true;
    first_ = static_cast<size_t>(again - sites_.begin());
    return take(first_, call);
  }
  const auto prompted = [&](const Known& site) {
    return alike(site, call) && site.queries > 1 && unpacked(call, site.heads, site.kv_heads).queries == 1;
  };
  if (std::any_of(sites_.begin(), sites_.end(), prompted)) {
    return refuse("expected keys that grow by the queries of each step, got a call of " + text_of(call) +
                  ". Mark each step with Gaze::step().");
  }
  return add(call);
}

}  // namespace gaze
