// SPDX-License-Identifier: MIT
#include "word_lanes.hpp"

#include <algorithm>

namespace gaze {
namespace {

// The text, or its beginning and a full stop; empty where not even two letters fit.
std::string shorten(const std::string& text, int room, const std::function<int(const std::string& text)>& width) {
  if (width(text) <= room) return text;
  std::string part = text;
  while (part.size() > 2) {
    part.pop_back();
    if (width(part + ".") <= room) return part + ".";
  }
  return {};
}

}  // namespace

std::vector<LaneLabel> place_labels(const std::vector<LaneWish>& wishes, const LaneRules& rules,
                                    const std::function<int(const std::string& text)>& width) {
  std::vector<int> taken(static_cast<size_t>(rules.lanes), rules.left);  // up to where a lane has labels
  std::vector<LaneLabel> labels(wishes.size());
  for (size_t i = 0; i < wishes.size(); ++i) {
    LaneLabel& label = labels[i];
    const std::string whole = shorten(wishes[i].text, rules.right - rules.left, width);
    if (whole.empty()) continue;
    label.left = std::max(rules.left, std::min(wishes[i].at, rules.right - width(whole)));
    // The line leads down through the lanes below, so those must be free as well.
    const auto occupied = [&](int end) { return end > label.left; };
    const auto free = static_cast<size_t>(std::find_if(taken.begin(), taken.end(), occupied) - taken.begin());
    if (free == 0) continue;
    // The next `free` words find room below this label; before the one after them it has to end.
    const size_t next = i + free;
    const int room = next < wishes.size() ? wishes[next].at - rules.gap - label.left : rules.right - label.left;
    label.text = shorten(whole, room, width);
    if (label.text.empty()) continue;
    const int end = label.left + width(label.text) + rules.gap;
    size_t lane = 0;
    while (lane + 1 < free && i + lane + 1 < wishes.size() && wishes[i + lane + 1].at < end) ++lane;
    label.lane = static_cast<int>(lane);
    taken[lane] = end;
  }
  return labels;
}

}  // namespace gaze
