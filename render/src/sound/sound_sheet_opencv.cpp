// SPDX-License-Identifier: MIT
#include "sound/sound_sheet_opencv.hpp"

#include <ATen/ops/empty.h>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <array>
#include <opencv2/imgproc.hpp>

#include "maps/captions.hpp"
#include "page/colour_bar_opencv.hpp"
#include "page/page_opencv.hpp"
#include "page/time_axis.hpp"
#include "sound/sound_captions.hpp"
#include "sound/sound_panel_opencv.hpp"

namespace gaze {
namespace {

using namespace page;

constexpr size_t kMostStrips = 58;
constexpr int kStripHeight = static_cast<int>(SoundPlots::kStripHeight);
constexpr int kStripCaptionHeight = 30, kStripPitch = kStripCaptionHeight + kStripHeight + 20, kStripAxisHeight = 34;
constexpr int kScaleBlock = 92, kStripScaleWidth = 360;
const text::Face kWord{10, 1.7, kInk}, kStripWarning{9, 1.4, cv::Scalar(176, 58, 32)};

std::vector<std::string> notes_of(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard) {
  std::vector<std::string> notes;
  std::string sites;
  for (const SiteUse& site : record.sites) sites += (sites.empty() ? "" : ", ") + site.name;
  if (!sites.empty()) notes.push_back("Sites: " + sites + ".");
  notes.push_back(describe_choices(record, map, heard.timing.sinks_subtracted));
  notes.push_back(std::string("Times: from attention") +
                  (record.style.align_to_energy ? ", moved to where the sound itself rises and falls nearby" : "") +
                  ", one key is " + clock_text(heard.timing.seconds_per_key, 3) +
                  ". Within: the share of a word's attention between its start and its end.");
  if (heard.timing.words.size() > kMostStrips) {
    notes.push_back(std::to_string(heard.timing.words.size() - kMostStrips) + " more words are in the folder words.");
  }
  if (const std::string origin = describe_origin(record); !origin.empty()) notes.push_back(origin);
  return notes;
}

}  // namespace

SoundSheet::SoundSheet(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard,
                       const SoundLayout& layout, const at::Tensor& summary_page, PageMemory& pages)
    : heard_(heard), layout_(layout), strips_(std::min(heard.timing.words.size(), kMostStrips)) {
  constexpr int kInner = kSoundPageWidth - 2 * kMargin;
  const std::vector<Line> header = header_lines(record, kInner);
  const std::vector<Line> footer = footer_lines(record, notes_of(record, map, heard), evidence_note(map), kInner);
  const int summary_top = kMargin + height_of(header) + (header.empty() ? 0 : 16);
  const int summary_end = summary_top + static_cast<int>(summary_page.size(0));
  const int scale_top = summary_end + 16;
  strips_top_ = scale_top + kScaleBlock;
  const int footer_top = strips_ > 0 ? strip_top(strips_) + kStripAxisHeight : scale_top;
  page_hwc_ = pages.take(footer_top + height_of(footer) + kMargin, kSoundPageWidth);
  cv::Mat page = view(page_hwc_);
  page.rowRange(0, summary_top).setTo(kPaper);
  view(summary_page).copyTo(page.rowRange(summary_top, summary_end));
  page.rowRange(summary_end, page.rows).setTo(kPaper);
  draw_lines(page, header, kMargin, kMargin);
  const auto rule = [&](int y) { cv::line(page, {kMargin, y}, {kSoundPageWidth - kMargin, y}, kRule, 1); };
  if (!header.empty()) rule(summary_top);
  if (strips_ > 0) {
    rule(scale_top);
    text::draw(page, "Word by word", kPlotLeft, scale_top + 38, kTitle);
    const int left = kSoundPageWidth - kMargin - kStripScaleWidth;
    draw_colour_bar(page, record.style, heard.timing.range_max_lift, 242, left, scale_top + 32, kStripScaleWidth);
    const std::string scale = describe_colours(record.style, heard.timing.sinks_subtracted);
    text::draw(page, scale, kSoundPageWidth - kMargin - text::width(scale, kNote), scale_top + 24, kNote);
    const double seconds_per_pixel = layout.seconds_per_pixel() * static_cast<double>(layout.rows);
    draw_time_axis(page, heard.timing.start_seconds, seconds_per_pixel, strip_top(strips_ - 1) + kStripHeight,
                   static_cast<int>(std::lround(layout.seconds / seconds_per_pixel)));
  }
  rule(footer_top);
  draw_lines(page, footer, kMargin, footer_top + 10);
}

int SoundSheet::strip_top(size_t word) const {
  return strips_top_ + static_cast<int>(word) * kStripPitch + kStripCaptionHeight;
}

void SoundSheet::add(size_t word, const at::Tensor& strip_hwc) {
  cv::Mat page = view(page_hwc_);
  const TimedWord& heard = heard_.timing.words[word];
  const int top = strip_top(word);
  const int baseline = top - 17;
  constexpr std::array<int, 6> kColumns = {kPlotLeft, 300, 440, 590, 860, 990};
  text::draw(page, text::wrap(label(heard.word), kWord, kColumns[1] - kColumns[0] - 16, 1).front(), kColumns[0],
             baseline, kWord);
  const std::array<std::string, 5> figures = word_figures(heard);
  for (size_t i = 0; i < figures.size(); ++i) text::draw(page, figures[i], kColumns[i + 1], baseline, kNote);
  int left = 1140;
  for (const std::string& warning : word_warnings(heard)) {
    text::draw(page, warning, left, baseline, kStripWarning);
    left += text::width(warning, kStripWarning) + 24;
  }
  const double seconds_per_pixel = layout_.seconds_per_pixel() * static_cast<double>(layout_.rows);
  const int end = std::clamp(static_cast<int>(std::lround(layout_.seconds / seconds_per_pixel)), 1,
                             static_cast<int>(layout_.width));
  view(strip_hwc)(cv::Rect(0, 0, end, kStripHeight)).copyTo(page(cv::Rect(kPlotLeft, top, end, kStripHeight)));
  cv::rectangle(page, cv::Rect(kPlotLeft - 1, top - 1, end + 2, kStripHeight + 2), kRule, 1);
  const auto span = pixels_of(heard, heard_.timing.start_seconds, seconds_per_pixel, end);
  if (span) draw_place(page, *span, top - 7, top, kStripHeight);
}

}  // namespace gaze
