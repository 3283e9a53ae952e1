// SPDX-License-Identifier: MIT
#include "sound/sound_panel_opencv.hpp"
#include "sound/sound_pictures.hpp"
#include "sound/sound_plots.hpp"
#include "sound/sound_sheet_opencv.hpp"

namespace gaze {
namespace {

/// Layer 0 is the summary, then each word.
TimeLayer layer_of(const HeardAnalysis& heard, size_t layer) {
  const bool diffuse = layer == 0 ? heard.hearing.summary.diffuse : heard.hearing.words[layer - 1].diffuse;
  return {heard.value_lc[static_cast<int64_t>(layer)], diffuse, heard.first_seconds, heard.seconds_per_key};
}

}  // namespace

void draw_sound(const AttentionRecord& record, const HeardAnalysis& heard, const SoundPictures& names, Frames& frames,
                PageMemory& pages, const SoundPageReceiver& receive) {
  const SoundCanvas canvas = make_sound_canvas(heard.recording, frames.route());
  const SoundLayout& layout = canvas.layout;
  SoundPanel panel(record, heard, canvas, pages);
  const auto add = [&](size_t layer, const RowSpan& rows, const Frames::Receive& finish) {
    frames.add(
        rows.count() * layout.row_height(), layout.width,
        [&](at::Tensor& rgb_hwc) { paint_sound(canvas, rows, layer_of(heard, layer), record.style, rgb_hwc); }, finish);
  };
  at::Tensor summary_hwc;
  add(0, layout.all_rows(), [&](const at::Tensor& plot_hwc) {
    summary_hwc = panel.summary_page(plot_hwc);
    receive.page(names.summary, summary_hwc);
  });
  for (size_t w = 0; w < names.words.size(); ++w) {
    // Where its keys do not reach, there is nothing to see of a word.
    const RowSpan rows = layout.rows_between(heard.reach_w[w].start, heard.reach_w[w].end);
    add(w + 1, rows,
        [&, w, rows](const at::Tensor& plot_hwc) { receive.word(names.words[w], panel.word_page(w, rows, plot_hwc)); });
  }
  frames.finish();
  SoundSheet sheet(record, heard, layout, summary_hwc, pages);
  for (size_t w = 0; w < sheet.strips(); ++w) {
    frames.add(
        SoundCanvas::kStripHeight, layout.width,
        [&](at::Tensor& rgb_hwc) { paint_sound_strip(canvas, layer_of(heard, w + 1), record.style, rgb_hwc); },
        [&, w](const at::Tensor& strip_hwc) { sheet.add(w, strip_hwc); });
  }
  frames.finish();
  receive.page(names.sheet, sheet.page());
}

}  // namespace gaze
