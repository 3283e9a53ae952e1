// SPDX-License-Identifier: MIT
#include "sound/sound_panel_opencv.hpp"

#include <ATen/ops/empty.h>
#include <gaze/ops/sound.hpp>
#include <gaze/render/opencv.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/imgproc.hpp>

#include "maps/captions.hpp"
#include "page/colour_bar_opencv.hpp"
#include "page/page_opencv.hpp"
#include "page/time_axis.hpp"
#include "sound/sound_captions.hpp"

namespace gaze {
namespace {

using namespace page;

constexpr int kHeadHeight = 92, kLaneHeight = 18, kBarHeight = 5, kBarZone = 11, kAxisHeight = 32, kRowGap = 12;
constexpr int kScaleWidth = 300, kScaleRoom = 400;  // what is written above it is wider
constexpr int kFigureGap = 26;
constexpr uint8_t kPlotGray = 242;  // about what lies under the tint
const cv::Scalar kBar(122, 132, 148), kFaint(196, 200, 205), kFaintText(158, 162, 168), kWarning(176, 58, 32);
const text::Face kAxis{8, 1.0, kSoft}, kOwn{9, 1.6, kInk};

void draw_column(cv::Mat& page, int x, int top, int height, const cv::Scalar& colour, double alpha) {
  for (int y = top; y < top + height; ++y) {
    auto& pixel = page.at<cv::Vec3b>(y, x);
    for (int c = 0; c < 3; ++c) pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] * (1 - alpha) + colour[c] * alpha);
  }
}

void draw_bar(cv::Mat& page, const PixelSpan& span, int top, const cv::Scalar& colour) {
  // One pixel stays free before the next word's bar.
  const int width = std::max(1, span.end - span.first - 1);
  page(cv::Rect(kPlotLeft + span.first, top, width, kBarHeight)).setTo(colour);
}

void draw_right(cv::Mat& page, const std::string& line, int right, int baseline, const text::Face& face) {
  text::draw(page, line, right - text::width(line, face), baseline, face);
}

void draw_tick(cv::Mat& page, int y) { cv::line(page, {kPlotLeft - 5, y}, {kPlotLeft - 2, y}, kSoft, 1); }

// Frequencies beside the spectrogram, where its bands have them.
void draw_frequencies(cv::Mat& page, const ops::LogMelOptions& mel, int64_t sample_rate_hz, int top, int height) {
  const double high_hz = std::min(mel.high_hz, static_cast<double>(sample_rate_hz) / 2);
  bool top_one = true;
  for (const double khz : {8.0, 4.0, 2.0, 1.0, 0.0}) {
    if (1000 * khz > high_hz || 1000 * khz < mel.low_hz) continue;
    const double band = ops::mel_band(1000 * khz, sample_rate_hz, mel);
    const double share = std::clamp((band + 0.5) / static_cast<double>(mel.mels), 0.0, 1.0);
    const int y = top + static_cast<int>(std::lround((1 - share) * (height - 1)));
    draw_tick(page, y);
    draw_right(page, format("%g", khz) + (top_one ? " kHz" : ""), kPlotLeft - 9,
               std::clamp(y + 4, top + 9, top + height), kAxis);
    top_one = false;
  }
}

void draw_amplitudes(cv::Mat& page, double full_scale, int64_t strips, int top, int height) {
  const int gap = strips > 1 ? 8 : 0;  // as draw_waveform_out leaves it
  const int pitch = (height + gap) / static_cast<int>(strips);
  for (int s = 0; s < strips; ++s) {
    const int strip_top = top + s * pitch, strip_height = pitch - gap;
    const int middle = strip_top + strip_height / 2;
    draw_tick(page, middle);
    draw_right(page, strips > 1 ? "ch " + std::to_string(s + 1) : "0", kPlotLeft - 9, middle + 4, kAxis);
    const std::string edge = format(full_scale < 0.095 ? "%.0e" : "%.1f", full_scale);
    draw_right(page, "+" + edge, kPlotLeft - 9, strip_top + 9, kAxis);
    draw_right(page, "-" + edge, kPlotLeft - 9, strip_top + strip_height - 6, kAxis);
  }
}

// On paper of its own, behind which lines pass and a fainter label goes.
void draw_label(cv::Mat& page, const LaneLabel& label, int bar_top, const text::Face& face) {
  const int baseline = bar_top - label.lane * kLaneHeight - 6;
  const int left = kPlotLeft + label.left;
  page(cv::Rect(left - 1, baseline - 11, text::width(label.text, face) + 2, 15)).setTo(kPaper);
  text::draw(page, label.text, left, baseline, face);
}

// Title, figures below it, and what must not be missed behind them.
void draw_head(cv::Mat& page, const std::string& title, const std::vector<std::string>& figures,
               const std::vector<std::string>& warnings) {
  const int room = kSoundPageWidth - kMargin - kScaleRoom - kPlotLeft;
  text::draw(page, text::wrap(title, kTitle, room, 1).front(), kPlotLeft, 38, kTitle);
  int left = kPlotLeft;
  const auto add = [&](const std::string& line, const text::Face& face) {
    const int width = text::width(line, face);
    if (line.empty() || left + width > kPlotLeft + room) return;
    text::draw(page, line, left, 64, face);
    left += width + kFigureGap;
  };
  for (const std::string& warning : warnings) add(warning, {9, 1.4, kWarning});
  for (const std::string& figure : figures) add(figure, kNote);
}

std::string scale_text(const Style& style, bool sinks_subtracted) {
  if (style.normalise.per_map_min_max) return "each map from its own minimum to its own maximum";
  return sinks_subtracted ? "attention above this answer's mean, in multiples of uniform"
                          : "attention, in multiples of uniform";
}

}  // namespace

std::optional<PixelSpan> pixels_of(const TimedWord& word, double start_seconds, double seconds_per_pixel, int width) {
  if (!std::isfinite(word.start_seconds)) return std::nullopt;
  const double first = (word.start_seconds - start_seconds) / seconds_per_pixel;
  const double end = (word.end_seconds - start_seconds) / seconds_per_pixel;
  if (!(first < width) || !(end > 0)) return std::nullopt;
  const int left = std::max(0, static_cast<int>(std::floor(first + 1e-6)));
  return PixelSpan{left, std::clamp(static_cast<int>(std::ceil(end - 1e-6)), left + 1, width)};
}

void draw_time_axis(cv::Mat& page, double start_seconds, double seconds_per_pixel, int top, int width) {
  constexpr int kLabelPixels = 76;
  for (const TimeTick& tick :
       time_ticks(start_seconds, start_seconds + width * seconds_per_pixel, kLabelPixels * seconds_per_pixel)) {
    const int x = kPlotLeft + std::min(width - 1, static_cast<int>((tick.seconds - start_seconds) / seconds_per_pixel));
    cv::line(page, {x, top + 1}, {x, top + (tick.label.empty() ? 4 : 7)}, tick.label.empty() ? kFaint : kSoft, 1);
    if (!tick.label.empty()) text::draw(page, tick.label, x - text::width(tick.label, kAxis) / 2, top + 22, kAxis);
  }
}

void draw_place(cv::Mat& page, const PixelSpan& span, int bar_top, int plot_top, int plot_height) {
  draw_bar(page, {span.first, span.end + 1}, bar_top, kInk);
  for (const int x : {span.first, span.end - 1}) {
    draw_column(page, kPlotLeft + x, bar_top, plot_top + plot_height - bar_top, kInk, 0.75);
  }
}

SoundPanel::SoundPanel(const AttentionRecord& record, const SoundAnalysis& heard, const SoundPlots& plots,
                       PageMemory& pages)
    : record_(record), heard_(heard), layout_(plots.layout), full_scale_(plots.full_scale), mel_(plots.mel) {
  sort_words();
  place_marks();
  summary_hwc_ = blank(heard.timing.summary.range_max_lift, pages);
  word_hwc_ = blank(heard.timing.range_max_lift, pages);
  cv::Mat words = view(word_hwc_);
  for (size_t row = 0; row < marks_.size(); ++row) draw_marks(words, row, kFaint, kFaintText);
  page_hwc_ = pages.take(word_hwc_.size(0), word_hwc_.size(1)).copy_(word_hwc_);
  cv::Mat summary = view(summary_hwc_);
  for (size_t row = 0; row < marks_.size(); ++row) draw_marks(summary, row, kBar, kInk);
}

int SoundPanel::row_pitch() const {
  return lanes_ * kLaneHeight + kBarZone + static_cast<int>(layout_.row_height()) + kAxisHeight + kRowGap;
}

int SoundPanel::row_top(size_t row) const { return kHeadHeight + static_cast<int>(row) * row_pitch(); }

int SoundPanel::plot_top(size_t row) const { return row_top(row) + lanes_ * kLaneHeight + kBarZone; }

// Those of windows that overlap are not in order.
void SoundPanel::sort_words() {
  const std::vector<TimedWord>& words = heard_.timing.words;
  by_start_.resize(words.size());
  std::iota(by_start_.begin(), by_start_.end(), size_t{0});
  const auto start = [&](size_t w) {
    return std::isfinite(words[w].start_seconds) ? words[w].start_seconds : HUGE_VAL;
  };
  std::stable_sort(by_start_.begin(), by_start_.end(), [&](size_t a, size_t b) { return start(a) < start(b); });
}

void SoundPanel::place_marks() {
  const auto width = [](const std::string& text) { return text::width(text, kOwn); };
  for (int64_t row = 0; row < layout_.rows; ++row) {
    const double start = heard_.timing.start_seconds + layout_.row_start(row);
    const auto end = static_cast<int>(layout_.end_pixel(row));
    std::vector<Mark> marks;
    std::vector<LaneWish> wishes;
    for (const size_t w : by_start_) {
      const TimedWord& word = heard_.timing.words[w];
      const std::optional<PixelSpan> span = pixels_of(word, start, layout_.seconds_per_pixel(), end);
      if (!span) continue;
      marks.push_back({w, *span, {}});
      // A word that goes on from the row before is named there.
      const bool begins = word.start_seconds >= start || row == 0;
      wishes.push_back({span->first, begins ? label(word.word) : std::string()});
    }
    // A line leads down at the left of each label's text.
    const std::vector<LaneLabel> labels = place_labels(wishes, {3, 0, kSoundPageWidth - kPlotLeft - 8, 12}, width);
    for (size_t i = 0; i < marks.size(); ++i) {
      marks[i].label = labels[i];
      lanes_ = std::max(lanes_, labels[i].lane + 1);
    }
    marks_.push_back(std::move(marks));
  }
}

at::Tensor SoundPanel::blank(double top_lift, PageMemory& pages) const {
  at::Tensor page_hwc = pages.take(row_top(marks_.size()), kSoundPageWidth);
  cv::Mat page = view(page_hwc);
  page.setTo(kPaper);
  const int scale_left = kSoundPageWidth - kMargin - kScaleWidth;
  draw_colour_bar(page, record_.style, top_lift, kPlotGray, scale_left, 30, kScaleWidth);
  draw_right(page, scale_text(record_.style, heard_.timing.sinks_subtracted), kSoundPageWidth - kMargin, 20, kAxis);
  for (size_t row = 0; row < marks_.size(); ++row) draw_axes(page, row);
  return page_hwc;
}

void SoundPanel::draw_axes(cv::Mat& page, size_t row) const {
  const auto index = static_cast<int64_t>(row);
  const int top = plot_top(row);
  const auto wave_height = static_cast<int>(layout_.wave_height);
  const auto mel_height = static_cast<int>(layout_.mel_height);
  const auto height = static_cast<int>(layout_.row_height());
  const auto end = static_cast<int>(layout_.end_pixel(index));
  cv::rectangle(page, cv::Rect(kPlotLeft - 1, top - 1, end + 2, height + 2), kRule, 1);
  draw_amplitudes(page, full_scale_, layout_.strips, top, wave_height);
  draw_frequencies(page, mel_, heard_.recording.sample_rate_hz, top + height - mel_height, mel_height);
  draw_time_axis(page, heard_.timing.start_seconds + layout_.row_start(index), layout_.seconds_per_pixel(),
                 top + height, end);
}

void SoundPanel::draw_marks(cv::Mat& page, size_t row, const cv::Scalar& bars, const cv::Scalar& texts) const {
  const int bar_top = plot_top(row) - kBarZone + 2;
  for (const Mark& mark : marks_[row]) {
    draw_bar(page, mark.span, bar_top, bars);
    if (mark.label.lane < 1) continue;
    const int line_top = bar_top - mark.label.lane * kLaneHeight - 2;
    draw_column(page, kPlotLeft + mark.span.first, line_top, bar_top - line_top, bars, 0.7);
  }
  for (const Mark& mark : marks_[row]) {
    if (mark.label.lane < 0) continue;
    draw_label(page, mark.label, bar_top, {9, 1.1, texts});
  }
}

void SoundPanel::draw_plots(cv::Mat& page, const RowSpan& rows, const at::Tensor& plot_hwc) const {
  const cv::Mat plots = view(plot_hwc);
  const auto height = static_cast<int>(layout_.row_height());
  for (int64_t row = rows.first; row < rows.end; ++row) {
    const auto end = static_cast<int>(layout_.end_pixel(row));
    plots(cv::Rect(0, static_cast<int>(row - rows.first) * height, end, height))
        .copyTo(page(cv::Rect(kPlotLeft, plot_top(static_cast<size_t>(row)), end, height)));
  }
}

// What the word before left beside the plots, which are drawn anew whole; the head goes right above the first row.
void SoundPanel::restore(cv::Mat& page, const RowSpan& rows) const {
  const cv::Mat blank = view(word_hwc_);
  const auto copy = [&](int top, int end, int to) {
    blank.rowRange(top, end).copyTo(page.rowRange(to, to + end - top));
  };
  copy(0, kHeadHeight, row_top(static_cast<size_t>(rows.first)) - kHeadHeight);
  for (auto row = static_cast<size_t>(rows.first); row < static_cast<size_t>(rows.end); ++row) {
    const int plot = plot_top(row), behind = plot + static_cast<int>(layout_.row_height());
    copy(row_top(row), plot, row_top(row));
    copy(behind, row_top(row + 1), behind);
  }
}

const at::Tensor& SoundPanel::summary_page(const at::Tensor& plot_hwc) {
  cv::Mat page = view(summary_hwc_);
  draw_plots(page, layout_.all_rows(), plot_hwc);
  for (size_t row = 0; row < marks_.size(); ++row) {
    for (const Mark& mark : marks_[row]) {
      draw_column(page, kPlotLeft + mark.span.first, plot_top(row), static_cast<int>(layout_.row_height()), kInk, 0.16);
    }
  }
  const TimedWord& summary = heard_.timing.summary;
  const auto figures = word_figures(summary);
  const std::string answer = text::shown(answer_text(record_), kMostLine).text;
  draw_head(page, answer.empty() ? "Whole answer" : "Whole answer: " + answer,
            {describe_recording(heard_), figures[2], figures[3], figures[4], "colour scale of its own"},
            word_warnings(summary));
  return summary_hwc_;
}

at::Tensor SoundPanel::word_page(size_t word, const RowSpan& rows, const at::Tensor& plot_hwc) {
  cv::Mat page = view(page_hwc_);
  restore(page, rows);
  draw_plots(page, rows, plot_hwc);
  for (auto row = static_cast<size_t>(rows.first); row < static_cast<size_t>(rows.end); ++row) {
    const int bar_top = plot_top(row) - kBarZone + 2;
    for (const Mark& mark : marks_[row]) {
      if (mark.word != word) continue;
      draw_place(page, mark.span, bar_top, plot_top(row), static_cast<int>(layout_.row_height()));
      if (mark.label.lane < 0) continue;
      draw_label(page, mark.label, bar_top, kOwn);
    }
  }
  const TimedWord& heard = heard_.timing.words[word];
  const auto figures = word_figures(heard);
  const int top = row_top(static_cast<size_t>(rows.first)) - kHeadHeight;
  const int height = kHeadHeight + static_cast<int>(rows.count()) * row_pitch();
  cv::Mat shown = page.rowRange(top, top + height);
  draw_head(shown, label(heard.word), {figures.begin(), figures.end()}, word_warnings(heard));
  return page_hwc_.narrow(0, top, height);
}

}  // namespace gaze
