// SPDX-License-Identifier: MIT
#include "page/label_lanes.hpp"

#include <algorithm>
#include <optional>

#include "base/utf8.hpp"

namespace gaze {
namespace {

// The text, or its beginning and a full stop; empty where not even two letters fit.
std::string shorten(const std::string& text, int room, const std::function<int(const std::string& text)>& width) {
  if (width(text) <= room) return text;
  const auto part = [&](size_t length) { return std::string(beginning(text, length)).append("."); };
  size_t fits = 1, too_long = std::max<size_t>(text.size(), 2);
  while (too_long - fits > 1) {
    const size_t middle = fits + (too_long - fits) / 2;
    (width(part(middle)) <= room ? fits : too_long) = middle;
  }
  return fits > 1 && !beginning(text, fits).empty() ? part(fits) : std::string();
}

// Of the lanes that are free at `left`: so far above the plot that the words whose starts are covered have lanes below.
// Where there are not as many, the one that has been free the longest; the lowest, where nothing is covered.
std::optional<size_t> choose_lane(const std::vector<int>& taken, int left, size_t covered) {
  const auto occupied = [left](int end) { return end > left; };
  const auto free_below = static_cast<size_t>(std::find_if(taken.begin(), taken.end(), occupied) - taken.begin());
  if (covered < free_below) return covered;
  std::optional<size_t> best;
  for (size_t lane = 0; lane < taken.size(); ++lane) {
    if (occupied(taken[lane]) || (best && taken[lane] > taken[*best])) continue;
    best = lane;
    if (covered == 0) break;
  }
  return best;
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
    // Before as many words as there are lanes have begun, it must end, or one of them would have no room.
    const size_t last = i + taken.size();
    const int room = (last < wishes.size() ? wishes[last].at - rules.gap : rules.right) - label.left;
    label.text = shorten(whole, room, width);
    if (label.text.empty()) continue;
    const int end = label.left + width(label.text) + rules.gap;
    size_t covered = 0;  // starts of the next words, as far as there are lanes
    while (covered < taken.size() && i + covered + 1 < wishes.size() && wishes[i + covered + 1].at < end) ++covered;
    const std::optional<size_t> lane = choose_lane(taken, label.left, covered);
    if (!lane) continue;
    label.lane = static_cast<int>(*lane);
    taken[*lane] = end;
  }
  return labels;
}

}  // namespace gaze
