// SPDX-License-Identifier: MIT
#include "page/colour_bar_opencv.hpp"

#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <gaze/render/opencv.hpp>

#include <cmath>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "page/page_opencv.hpp"

namespace gaze::page {
namespace {

struct Tick {
  double at;  ///< 0..1
  std::string text;
};

std::vector<Tick> make_ticks(const Style& style, double top) {
  if (style.normalise.per_map_min_max) return {{0, "each map's minimum"}, {1, "maximum"}};
  std::vector<Tick> ticks = {{1, times(top) + " and more"}};
  if (top < 15) ticks.push_back({0, "0"});  // beyond, "uniform" stands where its text would
  if (top > 1.5) ticks.push_back({1 / top, "1.0 uniform"});
  // Only where its text has room to the left of the end and to the right of "uniform".
  if (top > 6) ticks.push_back({0.5, times(top / 2)});
  return ticks;
}

}  // namespace

void draw_colour_bar(cv::Mat& sheet, const Style& style, double top_lift, uint8_t gray, int left, int top, int width) {
  constexpr int kHeight = 18;
  const at::Tensor value_yx = at::linspace(0, 1, width, at::kFloat).unsqueeze(0).expand({kHeight, width}).contiguous();
  const at::Tensor gray_hwc = at::full({kHeight, width, 3}, gray, at::kByte);
  const at::Tensor bar_hwc = ops::blend(gray_hwc, ops::colour(value_yx, style.colormap), value_yx, style.blend);
  const cv::Rect frame(left, top, width, kHeight);
  view(bar_hwc).copyTo(sheet(frame));
  cv::rectangle(sheet, frame, kSoft, 1);
  for (const Tick& tick : make_ticks(style, top_lift)) {
    const int x = left + static_cast<int>(std::lround(tick.at * (width - 1)));
    cv::line(sheet, {x, top + kHeight}, {x, top + kHeight + 5}, kInk, 1);
    const int text_width = text::width(tick.text, kNote);
    const int text_left = tick.at == 0   ? x
                          : tick.at == 1 ? x - text_width
                                         : x - (tick.text[0] == '1' ? 4 : text_width / 2);
    text::draw(sheet, tick.text, text_left, top + kHeight + 20, kNote);
  }
}

std::string describe_colours(const Style& style, bool sinks_subtracted) {
  if (style.normalise.per_map_min_max) return "Colour: each map from its own minimum to its own maximum";
  return sinks_subtracted ? "Colour: attention above this answer's mean, in multiples of uniform attention"
                          : "Colour: attention in multiples of uniform attention";
}

}  // namespace gaze::page
