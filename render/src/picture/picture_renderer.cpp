// SPDX-License-Identifier: MIT
#include "picture/picture_renderer.hpp"

#include <optional>
#include <utility>

#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "maps/map_analysis.hpp"
#include "picture/placed_picture.hpp"
#include "picture/sheet.hpp"

namespace gaze {
namespace {

// The map's numbers in host memory: the map by itself, the rest in one piece.
MediumMap bring_back(const MediumMap& map, const ops::Route& route) {
  if (!route.crosses) return map;
  MediumMap host = map;
  host.map_tk = fetch(map.map_tk, route, ops::Cargo::Map);
  const at::Tensor figures = fetch(pack({map.mass_t, map.visible_t, map.flags_t}), route, ops::Cargo::Figures);
  const at::Tensor rows_nt = figures.view({3, host.tokens()});
  host.mass_t = rows_nt[0];
  host.visible_t = rows_nt[1];
  host.flags_t = rows_nt[2];
  return host;
}

void write_maps(const Analysis& analysis, const RenderTask& task, Artifacts& artifacts) {
  artifacts.add(task.file("maps.safetensors"), serialise_safetensors({{"map_tc", analysis.map_tc},
                                                                      {"lift_tc", analysis.lift_tc},
                                                                      {"shown_wc", analysis.shown_wc()},
                                                                      {"mass_t", analysis.mass_t}},
                                                                     {{"gaze_maps", "1"}}));
}

MapFacts facts_of(const Analysis& analysis, const PlacedPicture* placed, const std::string& summary_file,
                  const std::vector<std::string>& word_files) {
  MapFacts facts;
  facts.tokens = analysis.tokens;
  facts.range_max_lift = analysis.range_max_lift;
  facts.sinks_subtracted = analysis.sinks_subtracted;
  facts.mass_is_exact = analysis.mass_is_exact;
  facts.word_rule = analysis.word_rule;
  if (placed != nullptr) facts.picture = {placed->placement.width, placed->placement.height, placed->base.note};
  facts.summary = {analysis.summary, summary_file};
  for (size_t w = 0; w < analysis.words.size(); ++w) facts.words.push_back({analysis.words[w], word_files[w]});
  return facts;
}

// Everything stays on the device but the figures and finished frames.
MapFacts draw(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const AttentionRecord& record = task.record;
  const ops::Route& route = task.route();
  const PlacedPicture placed = place_picture(record, task.map, medium, route);
  const Underlay underlay = placed.underlay();
  const Analysis analysis = analyse(record, task.map, route, &underlay);
  FramePipeline frames(task.ring);
  const at::Tensor base_hwc = ops::to_device(placed.base.rgb_hwc, route, ops::Cargo::Picture);
  const auto add = [&](const std::string& file, const MapView& map) {
    frames.add(
        placed.placement.height, placed.placement.width,
        [&](at::Tensor& rgb_hwc) { paint(base_hwc, map, placed.placement, record.style, rgb_hwc); },
        [&, file](const at::Tensor& rgb_hwc) { artifacts.add(file, encode_image(rgb_hwc, task.options.format)); });
  };
  const std::string summary_file = task.picture("overlay");
  add(summary_file, summary_view(analysis));
  std::vector<std::string> word_files;
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    word_files.push_back(task.word(w, analysis.words[w].word));
    add(word_files.back(), word_view(analysis, w));
  }
  const at::Tensor sheet_hwc = draw_sheet(record, task.map, analysis, placed, frames, task.pages);
  artifacts.add(task.picture("sheet"), encode_image(sheet_hwc, task.options.format));
  if (task.options.maps) {
    const bool there = route.crosses;
    write_maps(there ? analyse(record, bring_back(task.map, route), ops::Route(), nullptr) : analysis, task, artifacts);
  }
  return facts_of(analysis, &placed, summary_file, word_files);
}

// Maps alone: they come back once, and all else is computed from them here.
MapFacts tell(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const ops::Route& route = task.route();
  std::optional<PlacedPicture> placed;
  if (!medium.picture.empty()) placed = place_picture(task.record, task.map, medium, route);
  if (placed && placed->base.range.defined()) {
    placed->base.range = fetch(placed->base.range, route, ops::Cargo::Figures);
  }
  std::optional<Underlay> underlay;
  if (placed) underlay.emplace(placed->underlay());
  const Analysis analysis =
      analyse(task.record, bring_back(task.map, route), ops::Route(), underlay ? &*underlay : nullptr);
  write_maps(analysis, task, artifacts);
  return facts_of(analysis, placed ? &*placed : nullptr, "", std::vector<std::string>(analysis.words.size()));
}

}  // namespace

MapFacts render_map(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  return task.options.delivery == Delivery::Frame ? draw(medium, task, artifacts) : tell(medium, task, artifacts);
}

}  // namespace gaze
