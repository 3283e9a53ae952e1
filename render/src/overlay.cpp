// SPDX-License-Identifier: MIT
#include <gaze/render/overlay.hpp>

#include <limits>

#include "canvas.hpp"

namespace gaze {

Canvas make_canvas(const AttentionRecord& record) {
  Canvas canvas;
  canvas.base_hwc = decode(record.picture).to(record.map_tc.device());
  const int64_t height = canvas.base_hwc.size(0);
  const int64_t width = canvas.base_hwc.size(1);
  canvas.placement = place_scaled(record.geometry, width, height, width, height);
  return canvas;
}

Overlay measure(const Finding& finding, const Layer& layer, const Placement& placement, const Style& style) {
  Overlay overlay;
  overlay.word = finding.word;
  overlay.mass = finding.mass;
  overlay.max_lift = finding.max_lift;
  overlay.entropy = finding.entropy;
  overlay.diffuse = finding.diffuse;
  overlay.range_max_lift = finding.range_max_lift;
  const std::optional<Pixel> hot = hottest(layer.shown_c, placement, style.interpolation);
  overlay.hot_x = hot ? static_cast<double>(hot->x) : std::numeric_limits<double>::quiet_NaN();
  overlay.hot_y = hot ? static_cast<double>(hot->y) : std::numeric_limits<double>::quiet_NaN();
  return overlay;
}

Layer word_layer(const Analysis& analysis, size_t word) {
  const auto row = static_cast<int64_t>(word);
  return {analysis.value_wc[row], analysis.shown_wc[row], analysis.words[word].diffuse};
}

Layer summary_layer(const Analysis& analysis) { return {analysis.value_c, analysis.shown_c, analysis.summary.diffuse}; }

Composition compose(const AttentionRecord& record) {
  const Analysis analysis = analyse(record);
  const Canvas canvas = make_canvas(record);
  const auto draw = [&](const Finding& finding, const Layer& layer) {
    Overlay overlay = measure(finding, layer, canvas.placement, record.style);
    overlay.rgb_hwc = paint(canvas.base_hwc, layer, canvas.placement, record.style);
    return overlay;
  };
  Composition composition;
  composition.base_hwc = canvas.base_hwc;
  composition.summary = draw(analysis.summary, summary_layer(analysis));
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    composition.words.push_back(draw(analysis.words[w], word_layer(analysis, w)));
  }
  composition.range_max_lift = analysis.range_max_lift;
  composition.sinks_subtracted = analysis.sinks_subtracted;
  composition.lift_wc = analysis.lift_wc;
  composition.shown_wc = analysis.shown_wc;
  return composition;
}

}  // namespace gaze
