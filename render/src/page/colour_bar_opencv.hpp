// SPDX-License-Identifier: MIT
// The scale of a map's colours.
#pragma once

#include <gaze/render/style.hpp>

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>

namespace gaze::page {

/// The colours as they look on a base of one gray, with ticks in lift below, 1.0 marked as uniform. 38 pixels high.
/// @param top_lift  lift at the top of the colours
void draw_colour_bar(cv::Mat& sheet, const Style& style, double top_lift, uint8_t gray, int left, int top, int width);

/// What the bar measures, in one line.
std::string describe_colours(const Style& style, bool sinks_subtracted);

}  // namespace gaze::page
