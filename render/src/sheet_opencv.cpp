// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <opencv2/imgproc.hpp>

#include "ascii.hpp"
#include "sheet.hpp"
#include "sidecar.hpp"
#include "text_opencv.hpp"
#include "tile.hpp"

namespace gaze {
namespace {

const cv::Scalar kPaper(252, 252, 250), kInk(28, 30, 34), kSoft(105, 110, 118), kRule(214, 216, 218);
const text::Face kLabel{9, 1.1, kSoft}, kBody{10, 1.2, kInk}, kNote{9, 1.1, kSoft}, kTitle{13, 2.0, kInk};

constexpr int kMargin = 36, kGutter = 26;
constexpr int kPanelWidth = 360, kPanelMaxHeight = 480;
constexpr int kTitleHeight = 34, kCaptionLine = 20, kCaptionHeight = 3 * kCaptionLine + 30;
constexpr size_t kMaxWords = 58;

std::string format(const char* pattern, double value) {
  char out[64];
  std::snprintf(out, sizeof out, pattern, value);
  return out;
}

std::string times(double lift) { return format(lift < 10 ? "%.1fx" : "%.0fx", lift); }

// A word as the font can show it; a lossy one is told apart by its token's number.
std::string label(const Word& word) {
  const std::string token = "token " + std::to_string(word.first + 1);
  if (word.text.empty()) return token;
  const Plain plain = to_ascii(word.text);
  return plain.lossy ? plain.text + " (" + token + ")" : plain.text;
}

struct Panel {
  std::string title;
  std::vector<std::string> captions;
};

// Where a map lies on the picture in the size of a panel: it is drawn anew, so lines and colours stay crisp.
Placement place_thumbnail(const AttentionRecord& record, const Placement& whole) {
  const auto width = static_cast<double>(whole.width);
  const auto height = static_cast<double>(whole.height);
  const double factor = std::min(kPanelWidth / width, kPanelMaxHeight / height);
  const auto side = [factor](double extent) { return std::max<int64_t>(1, std::llround(extent * factor)); };
  return place_scaled(record.geometry, whole.width, whole.height, side(width), side(height));
}

at::Tensor scale_on_host(const at::Tensor& rgb_hwc, const Placement& thumbnail) {
  at::Tensor scaled_hwc = at::empty({thumbnail.height, thumbnail.width, 3}, at::kByte);
  cv::Mat scaled = view(scaled_hwc);
  const bool shrinks = rgb_hwc.size(1) > kPanelWidth || rgb_hwc.size(0) > kPanelMaxHeight;
  cv::resize(view(rgb_hwc), scaled, scaled.size(), 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_CUBIC);
  return scaled_hwc;
}

std::vector<std::string> captions(const Finding& finding, bool own_range, bool exact_mass) {
  std::vector<std::string> lines;
  char line[96];
  std::snprintf(line, sizeof line, "peak %s uniform", times(finding.max_lift).c_str());
  lines.emplace_back(line);
  std::snprintf(line, sizeof line, "%s%.0f%% of attention on the picture", exact_mass ? "" : "about ",
                100 * finding.mass);
  lines.emplace_back(line);
  if (finding.diffuse) {
    lines.emplace_back("diffuse: no clear focus, not coloured");
  } else if (own_range) {
    lines.push_back("own colour scale, up to " + times(finding.range_max_lift));
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

struct Tick {
  double at;  ///< 0..1
  std::string text;
};

std::vector<Tick> make_ticks(const AttentionRecord& record, const Analysis& analysis) {
  if (record.style.normalise.per_map_min_max) return {{0, "each map's minimum"}, {1, "maximum"}};
  const double top = analysis.range_max_lift;
  std::vector<Tick> ticks = {{1, times(top)}};
  if (top < 15) ticks.push_back({0, "0"});  // beyond, "uniform" stands where its text would
  if (top > 1.5) ticks.push_back({1 / top, "1.0 uniform"});
  // Only where its text has room to the left of the end and to the right of "uniform".
  if (top > 6) ticks.push_back({0.5, times(top / 2)});
  return ticks;
}

// The bar shows the colours as they look on a middle gray picture: what is transparent there is gray here.
void draw_bar(cv::Mat& sheet, const AttentionRecord& record, const Analysis& analysis, int left, int top, int width) {
  constexpr int kHeight = 18;
  const at::Tensor value_yx = at::linspace(0, 1, width, at::kFloat).unsqueeze(0).expand({kHeight, width}).contiguous();
  const at::Tensor gray_hwc = at::full({kHeight, width, 3}, 150, at::kByte);
  const at::Tensor bar_hwc =
      ops::blend(gray_hwc, ops::colour(value_yx, record.style.colormap), value_yx, record.style.blend);
  const cv::Rect frame(left, top, width, kHeight);
  view(bar_hwc).copyTo(sheet(frame));
  cv::rectangle(sheet, frame, kSoft, 1);
  for (const Tick& tick : make_ticks(record, analysis)) {
    const int x = left + static_cast<int>(std::lround(tick.at * (width - 1)));
    cv::line(sheet, {x, top + kHeight}, {x, top + kHeight + 5}, kInk, 1);
    const int text_width = text::width(tick.text, kNote);
    const int text_left = tick.at == 0   ? x
                          : tick.at == 1 ? x - text_width
                                         : x - (tick.text[0] == '1' ? 4 : text_width / 2);
    text::draw(sheet, tick.text, text_left, top + kHeight + 20, kNote);
  }
}

struct Line {
  std::string text;
  text::Face face;
  int indent, height;
};

void add_wrapped(std::vector<Line>& lines, const std::string& name, const std::string& content, const text::Face& face,
                 int width, size_t most) {
  if (content.empty()) return;
  constexpr int kIndent = 84;
  bool first = true;
  for (const std::string& line : text::wrap(to_ascii(content).text, face, width - kIndent, most)) {
    if (first) lines.push_back({name, kLabel, 0, 0});
    lines.push_back({line, face, kIndent, static_cast<int>(std::lround(face.size * 2.3))});
    first = false;
  }
}

int height_of(const std::vector<Line>& lines) {
  int height = 0;
  for (const Line& line : lines) height += line.height;
  return height;
}

void draw_lines(cv::Mat& sheet, const std::vector<Line>& lines, int left, int top) {
  int baseline = top + static_cast<int>(kTitle.size) + 2;
  for (const Line& line : lines) {
    text::draw(sheet, line.text, left + line.indent, baseline, line.face);
    baseline += line.height;
  }
}

std::vector<Line> header_lines(const AttentionRecord& record, int width) {
  std::vector<Line> lines;
  add_wrapped(lines, "prompt", record.prompt, {11, 1.3, kInk}, width, 4);
  add_wrapped(lines, "answer", answer_text(record), kTitle, width, 4);
  return lines;
}

std::string describe_bar(const AttentionRecord& record, const Analysis& analysis) {
  if (record.style.normalise.per_map_min_max) return "Colour: each map from its own minimum to its own maximum";
  return analysis.sinks_subtracted ? "Colour: attention above this answer's mean, in multiples of uniform attention"
                                   : "Colour: attention in multiples of uniform attention";
}

std::vector<Line> footer_lines(const AttentionRecord& record, const Analysis& analysis, const Canvas& canvas,
                               int width) {
  std::vector<std::string> notes;
  std::string sites;
  for (const SiteUse& site : record.sites) sites += (sites.empty() ? "" : ", ") + site.name;
  if (!sites.empty()) notes.push_back("Sites: " + sites + ".");
  notes.push_back(describe_choices(record, analysis.sinks_subtracted));
  std::string marks;
  if (record.style.contour) {
    marks = "Outlined: the cells that hold " + format("%.0f", 100 * record.style.contour_share) + "% of a map.";
  }
  const Placement::Seen seen = canvas.placement.seen();
  if (seen.left > 0 || seen.top > 0 || seen.right < canvas.placement.width || seen.bottom < canvas.placement.height) {
    marks += " Dashed: the model saw only the inside.";
  }
  if (!marks.empty()) notes.push_back(marks);
  if (analysis.words.size() > kMaxWords) {
    notes.push_back(std::to_string(analysis.words.size() - kMaxWords) + " more words are in the folder words.");
  }
  std::vector<Line> lines;
  for (const std::string& note : notes) {
    for (const std::string& line : text::wrap(to_ascii(note).text, kNote, width, 3))
      lines.push_back({line, kNote, 0, 21});
  }
  lines.push_back({"Attention shows where the model looked, which is evidence, not proof.", kBody, 0, 24});
  return lines;
}

// Panel 0 is the picture, panel 1 the whole answer, then the words. `receive` gets each panel's pixels on the host.
void draw_pictures(const AttentionRecord& record, const Analysis& analysis, const Canvas& canvas,
                   const Placement& thumbnail, size_t panels, Frames& frames,
                   const std::function<void(size_t panel, const at::Tensor& rgb_hwc)>& receive) {
  const auto add = [&](size_t panel, const Frames::Draw& draw) {
    frames.add(thumbnail.height, thumbnail.width, draw,
               [receive, panel](const at::Tensor& rgb_hwc) { receive(panel, rgb_hwc); });
  };
  at::Tensor base_hwc;
  if (canvas.base.rgb_hwc.is_cpu()) {
    const at::Tensor scaled_hwc = scale_on_host(canvas.base.rgb_hwc, thumbnail);
    receive(0, scaled_hwc);
    base_hwc = ops::to_device(scaled_hwc, frames.route(), ops::Cargo::Picture);
  } else {
    base_hwc = scale_picture(canvas.base.rgb_hwc, thumbnail.height, thumbnail.width);
    add(0, [&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(base_hwc); });
  }
  for (size_t panel = 1; panel < panels; ++panel) {
    const Layer layer = panel == 1 ? summary_layer(analysis) : word_layer(analysis, panel - 2);
    add(panel, [&](at::Tensor& rgb_hwc) { paint(base_hwc, layer, thumbnail, record.style, rgb_hwc); });
  }
  frames.finish();
}

}  // namespace

at::Tensor draw_sheet(const AttentionRecord& record, const Analysis& analysis, const Canvas& canvas, Frames& frames) {
  const Placement thumbnail = place_thumbnail(record, canvas.placement);
  const std::vector<Panel> panels = make_panels(record, analysis, canvas.placement);
  const int count = static_cast<int>(panels.size());
  const int columns = count > 12 ? 5 : std::clamp(count, 2, 4);
  const int rows = (count + columns - 1) / columns;
  const int panel_height = kTitleHeight + static_cast<int>(thumbnail.height) + kCaptionHeight;
  const int inner = columns * kPanelWidth + (columns - 1) * kGutter;

  const std::vector<Line> header = header_lines(record, inner);
  const std::vector<Line> footer = footer_lines(record, analysis, canvas, inner);
  constexpr int kBarBlock = 108;
  const int panels_top = kMargin + height_of(header) + kBarBlock;
  const int footer_top = panels_top + rows * panel_height + 10;
  const int height = footer_top + height_of(footer) + kMargin;

  at::Tensor sheet_hwc = at::empty({height, inner + 2 * kMargin, 3}, at::kByte);
  cv::Mat sheet = view(sheet_hwc);
  sheet.setTo(kPaper);
  draw_lines(sheet, header, kMargin, kMargin);
  const int bar_top = kMargin + height_of(header) + 28;
  draw_bar(sheet, record, analysis, kMargin, bar_top, kPanelWidth);
  text::draw(sheet, describe_bar(record, analysis), kMargin, bar_top - 10, kNote);
  draw_pictures(record, analysis, canvas, thumbnail, panels.size(), frames,
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
