// SPDX-License-Identifier: MIT
#include "sound/sound_panel_opencv.hpp"
#include "sound/sound_pictures.hpp"
#include "sound/sound_plots.hpp"
#include "sound/sound_sheet_opencv.hpp"

namespace gaze {
namespace {

/// Map 0 is the summary, then each word.
SoundMapView layer_of(const SoundAnalysis& heard, size_t layer) {
  const bool diffuse = layer == 0 ? heard.timing.summary.diffuse : heard.timing.words[layer - 1].diffuse;
  return {heard.value_lc[static_cast<int64_t>(layer)], diffuse, heard.first_seconds, heard.seconds_per_key};
}

}  // namespace

void draw_sound(const AttentionRecord& record, const MediumMap& map, const SoundAnalysis& heard,
                const SoundPictures& names, FramePipeline& frames, PageMemory& pages,
                const SoundPageReceiver& receive) {
  const SoundPlots plots = make_sound_plots(heard.recording, frames.route());
  const SoundLayout& layout = plots.layout;
  SoundPanel panel(record, heard, plots, pages);
  const auto add = [&](size_t layer, const RowSpan& rows, const FramePipeline::Receive& finish) {
    frames.add(
        rows.count() * layout.row_height(), layout.width,
        [&](at::Tensor& rgb_hwc) { paint_sound(plots, rows, layer_of(heard, layer), record.style, rgb_hwc); }, finish);
  };
  frames.add(
      layout.height(), layout.width, [&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(plots.base_hwc); }, receive.plots);
  at::Tensor summary_hwc;
  if (!names.summary.empty() || !names.sheet.empty()) {
    add(0, layout.all_rows(), [&](const at::Tensor& plot_hwc) {
      summary_hwc = panel.summary_page(plot_hwc);
      if (!names.summary.empty()) receive.page(names.summary, summary_hwc);
    });
  }
  for (size_t w = 0; w < names.words.size(); ++w) {
    if (names.words[w].empty()) continue;
    // Where its keys do not reach, there is nothing to see of a word.
    const RowSpan rows = layout.rows_between(heard.reach_w[w].start, heard.reach_w[w].end);
    add(w + 1, rows,
        [&, w, rows](const at::Tensor& plot_hwc) { receive.word(names.words[w], panel.word_page(w, rows, plot_hwc)); });
  }
  frames.finish();
  if (names.sheet.empty()) return;
  SoundSheet sheet(record, map, heard, layout, summary_hwc, pages);
  for (size_t w = 0; w < sheet.strips(); ++w) {
    frames.add(
        SoundPlots::kStripHeight, layout.width,
        [&](at::Tensor& rgb_hwc) { paint_sound_strip(plots, layer_of(heard, w + 1), record.style, rgb_hwc); },
        [&, w](const at::Tensor& strip_hwc) { sheet.add(w, strip_hwc); });
  }
  frames.finish();
  receive.page(names.sheet, sheet.page());
}

}  // namespace gaze
