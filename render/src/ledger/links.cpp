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
  return place.deleted && place.link.manifest == before.link.manifest && place.link.bundle == before.link.bundle;
}

void check_end(const std::vector<Place>& places, const Beginning& beginning, const Head& head, const Tell& tell) {
  const int64_t reached = places.empty() ? beginning.sequence : places.back().link.sequence;
  if (beginning.sequence > head.last.sequence)
    tell({"", "order", "deleted.jsonl tells of links behind the end of the chain that chain.json tells"});
  if (reached < head.last.sequence) return tell_gap(reached + 1, head.last.sequence, tell);
  for (const Place& place : places) {
    if (place.link.sequence == head.last.sequence && place.link.manifest != head.last.manifest)
      tell({place.link.bundle, "order",
            "chain.json names another manifest for link " + std::to_string(head.last.sequence) + " than this one has"});
    if (place.link.sequence > head.last.sequence)
      tell({place.link.bundle, "order",
            "is link " + std::to_string(place.link.sequence) +
                ", behind the end of the chain that chain.json tells: " + std::to_string(head.last.sequence)});
  }
}

}  // namespace

void check_links(std::vector<Place> places, const Beginning& beginning, const std::optional<Head>& head,
                 const Tell& tell) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.link.sequence, a.deleted, a.link.bundle) < std::tie(b.link.sequence, b.deleted, b.link.bundle);
  });
  std::vector<Place> chain;
  for (auto first = places.begin(); first != places.end();) {
    const int64_t sequence = first->link.sequence;
    const auto end =
        std::find_if(first, places.end(), [&](const Place& each) { return each.link.sequence != sequence; });
    const std::string before = chain.empty() ? beginning.manifest : chain.back().link.manifest;
    const int64_t expected = (chain.empty() ? beginning.sequence : chain.back().link.sequence) + 1;
    if (sequence <= beginning.sequence) {
      for (; first != end; ++first)
        tell({first->link.bundle, "order",
              "is link " + std::to_string(sequence) + ", of which deleted.jsonl says that it is gone"});
      continue;
    }
    // Of several at one place the one that follows is the chain's.
    const auto follows = std::find_if(first, end, [&](const Place& each) { return each.previous == before; });
    if (follows != end) std::rotate(first, follows, std::next(follows));
    if (sequence > expected) {
      tell_gap(expected, sequence - 1, tell);
    } else if (first->previous != before) {
      tell({first->link.bundle, "order",
            "names another manifest before its own than link " + std::to_string(sequence - 1) + " has"});
    }
    for (auto other = std::next(first); other != end; ++other) {
      if (is_told_again(*other, *first)) continue;
      tell({other->link.bundle, "order", "is link " + std::to_string(sequence) + ", as " + first->link.bundle + " is"});
    }
    chain.push_back(std::move(*first));
    first = end;
  }
  if (head) check_end(chain, beginning, *head, tell);
}

}  // namespace gaze::ledger
