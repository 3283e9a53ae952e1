// SPDX-License-Identifier: MIT
// The page around a recording's plots: title, words, axes, scale.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>

#include <opencv2/core/mat.hpp>
#include <optional>
#include <vector>

#include "page/label_lanes.hpp"
#include "page/page_memory.hpp"
#include "sound/sound_plots.hpp"
#include "sound/word_timing.hpp"

namespace gaze {

constexpr int kSoundPageWidth = 1600, kPlotLeft = 64;

/// Pixels [first, end) of a row of time, counted from its left edge.
struct PixelSpan {
  int first, end;
};

/// What of a word lies in the pixels [0, width) of a row that begins at `start_seconds`, in the recording's time.
std::optional<PixelSpan> pixels_of(const TimedWord& word, double start_seconds, double seconds_per_pixel, int width);

/// Ticks and their times below a plot whose lower edge is at `top`.
void draw_time_axis(cv::Mat& page, double start_seconds, double seconds_per_pixel, int top, int width);

/// A word's place: a bar whose upper edge is at `bar_top`, and a line at its start and its end down the plot.
void draw_place(cv::Mat& page, const PixelSpan& span, int bar_top, int plot_top, int plot_height);

/// Frames as paint_sound draws them become pages: what all pages share is drawn once.
class SoundPanel {
 public:
  SoundPanel(const AttentionRecord& record, const SoundAnalysis& heard, const SoundPlots& plots, PageMemory& pages);
  /// uint8 [height, kSoundPageWidth, 3] on the CPU. Drawn once.
  [[nodiscard]] const at::Tensor& summary_page(const at::Tensor& plot_hwc);
  /// As above, with some of the rows, of which `plot_hwc` holds the plots; valid until the next call.
  [[nodiscard]] at::Tensor word_page(size_t word, const RowSpan& rows, const at::Tensor& plot_hwc);

 private:
  struct Mark {
    size_t word;
    PixelSpan span;
    LaneLabel label;  ///< in the row where the word begins
  };
  [[nodiscard]] int row_pitch() const;
  [[nodiscard]] int row_top(size_t row) const;
  [[nodiscard]] int plot_top(size_t row) const;
  void sort_words();
  void place_marks();
  [[nodiscard]] at::Tensor blank(double top_lift, PageMemory& pages) const;
  void draw_axes(cv::Mat& page, size_t row) const;
  void draw_marks(cv::Mat& page, size_t row, const cv::Scalar& bars, const cv::Scalar& texts) const;
  void restore(cv::Mat& page, const RowSpan& rows) const;
  void draw_plots(cv::Mat& page, const RowSpan& rows, const at::Tensor& plot_hwc) const;

  const AttentionRecord& record_;
  const SoundAnalysis& heard_;
  const SoundLayout layout_;
  const double full_scale_;
  const ops::LogMelOptions mel_;
  std::vector<size_t> by_start_;          ///< words
  std::vector<std::vector<Mark>> marks_;  ///< of each row
  int lanes_ = 1;
  at::Tensor summary_hwc_;
  at::Tensor word_hwc_;  ///< without plot and title
  at::Tensor page_hwc_;  ///< of the latest word
};

}  // namespace gaze
