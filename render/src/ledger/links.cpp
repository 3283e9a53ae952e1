// SPDX-License-Identifier: MIT
#include "ledger/links.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace gaze::ledger {
namespace {

std::string span_text(int64_t first, int64_t last) {
  return first == last ? "link " + std::to_string(first) + " is"
                       : "links " + std::to_string(first) + " to " + std::to_string(last) + " are";
}

void tell_gap(int64_t first, int64_t last, const Tell& tell) {
  tell({"", "gap", span_text(first, last) + " gone, and deleted.jsonl does not say why"});
}

// Lines that tell of what is there still, or tell it twice, were written by processes that were killed.
bool is_told_again(const Place& place, const Place& before) {
  return place.of == Place::Of::Deletion && place.link.manifest == before.link.manifest &&
         place.link.bundle == before.link.bundle;
}

std::string name_of(const Place& place) {
  const std::string link = "link " + std::to_string(place.first);
  return place.of == Place::Of::Folded ? link + " to " + std::to_string(place.link.sequence) + " of deleted.jsonl"
                                       : link;
}

// Of those that begin at one place the one that follows what is before; what is folded is gone, whatever else says so.
void choose(std::vector<Place>::iterator first, std::vector<Place>::iterator end, const std::string& before) {
  if (first->of == Place::Of::Folded) return;
  const auto follows = std::find_if(first, end, [&](const Place& each) { return each.previous == before; });
  if (follows != end) std::rotate(first, follows, std::next(follows));
}

void check_end(const std::vector<Place>& chain, const Head& head, const Tell& tell) {
  const int64_t last = head.last.sequence, reached = chain.empty() ? 0 : chain.back().link.sequence;
  if (reached < last) return tell_gap(reached + 1, last, tell);
  for (const Place& place : chain) {
    if (place.link.sequence == last && place.link.manifest != head.last.manifest)
      tell({place.link.bundle, "order",
            "chain.json names another manifest for link " + std::to_string(last) + " than this one has"});
    if (place.link.sequence > last)
      tell({place.link.bundle, "order",
            "is " + name_of(place) + ", behind the end of the chain that chain.json tells: " + std::to_string(last)});
  }
}

}  // namespace

void check_links(std::vector<Place> places, const std::optional<Head>& head, const Tell& tell) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.first, a.of, a.link.bundle) < std::tie(b.first, b.of, b.link.bundle);
  });
  std::vector<Place> chain;
  for (auto first = places.begin(); first != places.end();) {
    const auto end = std::find_if(first, places.end(), [&](const Place& each) { return each.first != first->first; });
    const std::string before = chain.empty() ? std::string() : chain.back().link.manifest;
    const int64_t expected = (chain.empty() ? 0 : chain.back().link.sequence) + 1;
    if (first->first < expected) {
      for (; first != end; ++first)
        tell({first->link.bundle, "order", "is " + name_of(*first) + ", of which deleted.jsonl says that it is gone"});
      continue;
    }
    choose(first, end, before);
    if (first->first > expected) {
      tell_gap(expected, first->first - 1, tell);
    } else if (first->previous != before) {
      tell({first->link.bundle, "order",
            "names another manifest before its own than link " + std::to_string(first->first - 1) + " has"});
    }
    for (auto other = std::next(first); other != end; ++other) {
      if (is_told_again(*other, *first)) continue;
      tell({other->link.bundle, "order", "is " + name_of(*other) + ", as " + first->link.bundle + " is"});
    }
    chain.push_back(std::move(*first));
    first = end;
  }
  if (head) check_end(chain, *head, tell);
}

}  // namespace gaze::ledger
