// SPDX-License-Identifier: MIT
// Where the labels of words stand, so that none covers another.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace gaze {

struct LaneWish {
  int at;  ///< pixel of the word's start, to which a line leads down from the label
  std::string text;
};

struct LaneLabel {
  int lane = -1;     ///< 0: next to the plot; -1: no room for a label
  int left = 0;      ///< first pixel of the text
  std::string text;  ///< shortened where there is no room for all of it
};

struct LaneRules {
  int lanes = 3;
  int left = 0, right = 0;  ///< labels stay within [left, right)
  int gap = 8;              ///< pixels between two labels of one lane
};

/// One label per wish. Labels of a lane do not touch. A word whose label would run over the next words' starts stands
/// above theirs; only where words are dense does a line pass behind a label below its own.
/// @param wishes  ascending
/// @param width   pixels of a text
std::vector<LaneLabel> place_labels(const std::vector<LaneWish>& wishes, const LaneRules& rules,
                                    const std::function<int(const std::string& text)>& width);

}  // namespace gaze
