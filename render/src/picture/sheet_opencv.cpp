// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <opencv2/imgproc.hpp>

#include "maps/captions.hpp"
#include "page/colour_bar_opencv.hpp"
#include "page/page_opencv.hpp"
#include "picture/grey.hpp"
#include "picture/scaled.hpp"
#include "picture/sheet.hpp"

namespace gaze {
namespace {

using namespace page;

constexpr int kGutter = 26;
constexpr int kPanelWidth = 360, kPanelMaxHeight = 480;
constexpr int kTitleHeight = 34, kCaptionLine = 20, kCaptionHeight = 3 * kCaptionLine + 30;
constexpr size_t kMaxWords = 58;

struct Panel {
  std::string title;
  std::vector<std::string> captions;
};

// Where a map lies on the picture in the size of a panel: it is drawn anew, so lines and colours stay crisp.
Placement place_thumbnail(const Geometry& geometry, const Placement& whole) {
  const auto width = static_cast<double>(whole.width);
  const auto height = static_cast<double>(whole.height);
  const double factor = std::min(kPanelWidth / width, kPanelMaxHeight / height);
  const auto side = [factor](double extent) { return std::max<int64_t>(1, std::llround(extent * factor)); };
  return place_scaled(geometry, whole.width, whole.height, side(width), side(height));
}

std::vector<std::string> captions(const WordFacts& facts, bool own_range, bool exact_mass) {
  std::vector<std::string> lines;
  char line[96];
  // Of a model without limits nothing is said.
  const Verdict verdict = facts.grounding.verdict;
  std::snprintf(line, sizeof line, "peak %s uniform%s%s", times(facts.max_lift).c_str(),
                verdict == Verdict::CannotSay ? "" : ", ", verdict == Verdict::CannotSay ? "" : name(verdict));
  lines.emplace_back(line);
  std::snprintf(line, sizeof line, "%s%.0f%% of attention on the picture", exact_mass ? "" : "about ",
                100 * facts.mass);
  lines.emplace_back(line);
  if (facts.diffuse) {
    lines.emplace_back("diffuse: no clear focus, not coloured");
  } else if (own_range) {
    lines.push_back("own colour scale, up to " + times(facts.range_max_lift));
  }
  return lines;
}

std::vector<Panel> make_panels(const AttentionRecord& record, const Analysis& analysis, const Placement& whole) {
  std::vector<Panel> panels;
  panels.push_back({"picture", {std::to_string(whole.width) + " x " + std::to_string(whole.height) + " pixels"}});
  panels.push_back({"whole answer", captions(analysis.summary, true, analysis.mass_is_exact)});
  const bool own_range = record.style.normalise.per_map_min_max;
  for (size_t w = 0; w < std::min(analysis.words.size(), kMaxWords); ++w) {
    panels.push_back({label(analysis.words[w].word), captions(analysis.words[w], own_range, analysis.mass_is_exact)});
  }
  return panels;
}

void draw_panel(cv::Mat& sheet, const Panel& panel, const at::Tensor& rgb_hwc, int left, int top) {
  const std::vector<std::string> title = text::wrap(panel.title, kTitle, kPanelWidth, 1);
  text::draw(sheet, title.front(), left, top + 20, kTitle);
  const cv::Mat picture = view(rgb_hwc);
  const cv::Rect frame(left, top + kTitleHeight, picture.cols, picture.rows);
  picture.copyTo(sheet(frame));
  cv::rectangle(sheet, frame, kRule, 1);
  int baseline = top + kTitleHeight + picture.rows + kCaptionLine + 2;
  for (const std::string& line : panel.captions) {
    text::draw(sheet, line, left, baseline, kNote);
    baseline += kCaptionLine;
  }
}

std::vector<std::string> notes_of(const AttentionRecord& record, const MediumMap& map, const Analysis& analysis,
                                  const PlacedPicture& placed) {
  std::vector<std::string> notes;
  std::string sites;
  for (const SiteUse& site : record.sites) sites += (sites.empty() ? "" : ", ") + site.name;
  if (!sites.empty()) notes.push_back("Sites: " + sites + ".");
  notes.push_back(describe_choices(record, map, analysis.sinks_subtracted));
  std::string marks;
  if (record.style.contour) {
    marks = "Outlined: the cells that hold " + format("%.0f", 100 * record.style.contour_share) + "% of a map.";
  }
  const Placement::Seen seen = placed.placement.seen();
  if (seen.left > 0 || seen.top > 0 || seen.right < placed.placement.width || seen.bottom < placed.placement.height) {
    marks += " Dashed: the model saw only the inside.";
  }
  if (!marks.empty()) notes.push_back(marks);
  if (analysis.words.size() > kMaxWords) {
    notes.push_back(std::to_string(analysis.words.size() - kMaxWords) + " more words are in the folder words.");
  }
  if (const std::string origin = describe_origin(record); !origin.empty()) notes.push_back(origin);
  return notes;
}

// Panel 0 is the picture, panel 1 the whole answer, then the words. `receive` gets each panel's pixels on the host.
void draw_pictures(const AttentionRecord& record, const Analysis& analysis, const PlacedPicture& placed,
                   const Placement& thumbnail, size_t panels, FramePipeline& frames,
                   const std::function<void(size_t panel, const at::Tensor& rgb_hwc)>& receive) {
  const auto add = [&](size_t panel, const FramePipeline::Draw& draw) {
    frames.add(thumbnail.height, thumbnail.width, draw,
               [receive, panel](const at::Tensor& rgb_hwc) { receive(panel, rgb_hwc); });
  };
  at::Tensor base_hwc;
  if (placed.base.rgb_hwc.is_cpu()) {
    const at::Tensor scaled_hwc = scale_picture(placed.base.rgb_hwc, thumbnail.height, thumbnail.width);
    receive(0, scaled_hwc);
    base_hwc = ops::to_device(scaled_hwc, frames.route(), ops::Cargo::Picture);
  } else {
    base_hwc = scale_picture(placed.base.rgb_hwc, thumbnail.height, thumbnail.width);
    add(0, [&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(base_hwc); });
  }
  const at::Tensor ground_hwc = ground_of(base_hwc, record.style);
  for (size_t panel = 1; panel < panels; ++panel) {
    const MapView map = panel == 1 ? summary_view(analysis) : word_view(analysis, panel - 2);
    add(panel, [&](at::Tensor& rgb_hwc) { paint(ground_hwc, map, thumbnail, record.style, rgb_hwc); });
  }
  frames.finish();
}

}  // namespace

at::Tensor draw_sheet(const AttentionRecord& record, const MediumMap& map, const Analysis& analysis,
                      const PlacedPicture& placed, FramePipeline& frames, PageMemory& pages) {
  const Placement thumbnail = place_thumbnail(map.geometry(), placed.placement);
  const std::vector<Panel> panels = make_panels(record, analysis, placed.placement);
  const int count = static_cast<int>(panels.size());
  const int columns = count > 12 ? 5 : std::clamp(count, 2, 4);
  const int rows = (count + columns - 1) / columns;
  const int panel_height = kTitleHeight + static_cast<int>(thumbnail.height) + kCaptionHeight;
  const int inner = columns * kPanelWidth + (columns - 1) * kGutter;

  const std::vector<Line> header = header_lines(record, inner);
  const std::vector<Line> footer =
      footer_lines(record, notes_of(record, map, analysis, placed), evidence_note(map), inner);
  constexpr int kBarBlock = 108;
  const int panels_top = kMargin + height_of(header) + kBarBlock;
  const int footer_top = panels_top + rows * panel_height + 10;
  const int height = footer_top + height_of(footer) + kMargin;

  at::Tensor sheet_hwc = pages.take(height, inner + 2 * kMargin);
  cv::Mat sheet = view(sheet_hwc);
  sheet.setTo(kPaper);
  draw_lines(sheet, header, kMargin, kMargin);
  const int bar_top = kMargin + height_of(header) + 28;
  draw_colour_bar(sheet, record.style, analysis.range_max_lift, 140, kMargin, bar_top, kPanelWidth);
  text::draw(sheet, describe_colours(record.style, analysis.sinks_subtracted), kMargin, bar_top - 10, kNote);
  draw_pictures(record, analysis, placed, thumbnail, panels.size(), frames,
                [&](size_t panel, const at::Tensor& rgb_hwc) {
                  const int i = static_cast<int>(panel);
                  draw_panel(sheet, panels[panel], rgb_hwc, kMargin + i % columns * (kPanelWidth + kGutter),
                             panels_top + i / columns * panel_height);
                });
  cv::line(sheet, {kMargin, footer_top}, {kMargin + inner, footer_top}, kRule, 1);
  draw_lines(sheet, footer, kMargin, footer_top + 10);
  return sheet_hwc;
}

}  // namespace gaze
