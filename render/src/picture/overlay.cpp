// SPDX-License-Identifier: MIT
#include <gaze/render/overlay.hpp>

#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"

namespace gaze {

Composition compose(const AttentionRecord& record) {
  wait_on_stream(record);
  const ops::Route route = ops::route_to(record.map_tc.defined() ? record.map_tc.device() : at::Device(at::kCPU));
  check_record(record, route);
  const Canvas canvas = make_canvas(record, route);
  const Analysis analysis = analyse(record, route, &canvas);
  Composition composition;
  composition.base_hwc = ops::to_device(canvas.base.rgb_hwc, route, ops::Cargo::Picture);
  const auto draw = [&](const Finding& finding, const Layer& layer) {
    Overlay overlay = describe(finding);
    overlay.rgb_hwc = paint(composition.base_hwc, layer, canvas.placement, record.style);
    return overlay;
  };
  composition.summary = draw(analysis.summary, summary_layer(analysis));
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    composition.words.push_back(draw(analysis.words[w], word_layer(analysis, w)));
  }
  composition.range_max_lift = analysis.range_max_lift;
  composition.sinks_subtracted = analysis.sinks_subtracted;
  composition.lift_wc = analysis.lift_wc();
  composition.shown_wc = analysis.shown_wc();
  return composition;
}

}  // namespace gaze
