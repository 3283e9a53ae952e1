// SPDX-License-Identifier: MIT
#include <gaze/render/overlay.hpp>

#include <algorithm>

#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"
#include "picture/grey.hpp"
#include "picture/placed_picture.hpp"

namespace gaze {

Composition compose(const AttentionRecord& record) {
  wait_on_stream(record);
  const ops::Route route = ops::route_to(record.device());
  check_record(record, route);
  const auto map = std::find_if(record.maps.begin(), record.maps.end(), [](const MediumMap& each) {
    return std::holds_alternative<PictureMedium>(each.medium);
  });
  if (map == record.maps.end()) {
    throw Error("geometry: expected the cells of a picture, got a sound's. Call time_words().",
                DropReason::GridMismatch);
  }
  const PlacedPicture placed = place_picture(record, *map, std::get<PictureMedium>(map->medium), route, 0);
  const Underlay underlay = placed.underlay();
  const Analysis analysis = analyse(record, *map, route, &underlay);
  Composition composition;
  composition.base_hwc = ops::to_device(placed.base.rgb_hwc, route, ops::Cargo::Picture);
  composition.ground_hwc = ground_of(composition.base_hwc, record.style);
  const auto draw = [&](const WordFacts& facts, const MapView& map) {
    return Overlay{facts, paint(composition.ground_hwc, map, placed.placement, record.style)};
  };
  composition.summary = draw(analysis.summary, summary_view(analysis));
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    composition.words.push_back(draw(analysis.words[w], word_view(analysis, w)));
  }
  composition.range_max_lift = analysis.range_max_lift;
  composition.sinks_subtracted = analysis.sinks_subtracted;
  composition.lift_wc = analysis.lift_wc();
  composition.shown_wc = analysis.shown_wc();
  return composition;
}

}  // namespace gaze
