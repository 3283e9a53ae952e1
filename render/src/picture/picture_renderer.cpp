// SPDX-License-Identifier: MIT
#include "picture/picture_renderer.hpp"

#include <optional>
#include <utility>

#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "maps/content_words.hpp"
#include "maps/keys_to_cells.hpp"
#include "maps/map_analysis.hpp"
#include "maps/map_painter.hpp"
#include "media/detail.hpp"
#include "picture/grey.hpp"
#include "picture/placed_picture.hpp"
#include "picture/scaled.hpp"
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

/// @param analysis  on the host
std::optional<DetailFacts> write_detail(const Analysis& analysis, const RenderTask& task, Artifacts& artifacts) {
  const auto to_cells = [&](const at::Tensor& rows_htk) {
    MediumMap heads;
    heads.medium = medium_of(task.map.geometry());
    heads.map_tk = rows_htk.flatten(0, 1);
    heads.mass_t = heads.map_tk.sum(1);
    const at::Tensor rows_tc = keys_to_cells(heads, task.record.reduce, ops::Route()).map_tc;
    return rows_tc.view({rows_htk.size(0), rows_htk.size(1), rows_tc.size(1)});
  };
  return add_detail({to_cells, analysis.words, analysis.summary, analysis.visible_t, analysis.focus_t}, task,
                    artifacts);
}

MapFacts facts_of(const Analysis& analysis) {
  MapFacts facts;
  facts.tokens = analysis.tokens;
  facts.range_max_lift = analysis.range_max_lift;
  facts.sinks_subtracted = analysis.sinks_subtracted;
  facts.mass_is_exact = analysis.mass_is_exact;
  facts.word_rule = analysis.word_rule;
  facts.summary.facts = analysis.summary;
  for (const WordFacts& word : analysis.words) facts.words.push_back({word, {}});
  return facts;
}

// The picture as large as it is drawn. `placed` keeps where the grid lies on the original.
Placement fit_to_frames(const PictureMedium& medium, int64_t longest_side_pixels, PlacedPicture& placed) {
  const PictureSize whole{placed.placement.width, placed.placement.height};
  const PictureSize frame = fitted(whole, longest_side_pixels);
  at::Tensor& rgb_hwc = placed.base.rgb_hwc;
  if (rgb_hwc.size(1) != frame.width || rgb_hwc.size(0) != frame.height)
    rgb_hwc = scale_picture(rgb_hwc, frame.height, frame.width);
  return place_scaled(medium.geometry, whole.width, whole.height, frame.width, frame.height);
}

// Draws what of a map was asked for, and names it in `facts`.
void draw_frames(const RenderTask& task, const Analysis& analysis, const PlacedPicture& placed, const Placement& frame,
                 MapFacts& facts, Artifacts& artifacts) {
  const PictureChoice& wanted = task.options.pictures;
  FramePipeline frames(task.ring);
  const at::Tensor picture_hwc = ops::to_device(placed.base.rgb_hwc, task.route(), ops::Cargo::Picture);
  const at::Tensor ground_hwc = ground_of(picture_hwc, task.record.style);
  const auto add = [&](const FramePipeline::Draw& draw, FramePipeline::Receive receive) {
    frames.add(frame.height, frame.width, draw, std::move(receive));
  };
  const auto add_overlay = [&](const MapView& map, const std::string& file, std::string& named) {
    named = file;
    add([&](at::Tensor& rgb_hwc) { paint(ground_hwc, map, frame, task.record.style, rgb_hwc); },
        [&, file](const at::Tensor& rgb_hwc) { artifacts.add(file, encode_image(rgb_hwc, task.options.format)); });
  };
  if (wanted.overlay) add_overlay(summary_view(analysis), task.picture("overlay"), facts.summary.file);
  for (size_t w = 0; w < analysis.words.size(); ++w) {
    const Word& word = analysis.words[w].word;
    if (!(wanted.words && (wanted.function_words || draws_content(word)))) continue;
    add_overlay(word_view(analysis, w), task.word(w, word), facts.words[w].file);
  }
  std::string& jpeg = facts.report_picture->jpeg;
  const auto encode = [&](const at::Tensor& rgb_hwc) { jpeg = encode_image(rgb_hwc, ImageFormat::Jpeg); };
  if (placed.base.rgb_hwc.is_cpu()) {
    encode(placed.base.rgb_hwc);
  } else {
    add([&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(picture_hwc); }, encode);
  }
  if (wanted.sheet) {
    const at::Tensor sheet_hwc = draw_sheet(task.record, task.map, analysis, placed, frames, task.pages);
    artifacts.add(task.picture("sheet"), encode_image(sheet_hwc, task.options.format));
  }
  frames.finish();
}

// Everything stays on the device but the map, the figures and finished frames.
MapFacts draw(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const ops::Route& route = task.route();
  PlacedPicture placed = place_picture(task.record, task.map, medium, route, task.options.longest_side_pixels);
  const Underlay underlay = placed.underlay();
  const Analysis analysis = analyse(task.record, task.map, route, &underlay);
  MapFacts facts = facts_of(analysis);
  facts.picture = {placed.placement.width, placed.placement.height, 0, 0, placed.base.note};
  const Placement frame = fit_to_frames(medium, task.options.longest_side_pixels, placed);
  facts.picture->drawn_width = frame.width;
  facts.picture->drawn_height = frame.height;
  facts.report_picture.emplace().placement = frame;
  draw_frames(task, analysis, placed, frame, facts, artifacts);
  const Analysis here =
      route.crosses ? analyse(task.record, bring_back(task.map, route), ops::Route(), nullptr) : analysis;
  facts.report_picture->shown_lc = here.shown_lc;
  facts.report_picture->lift_lc = here.lift_lc;
  write_maps(here, task, artifacts);
  facts.detail = write_detail(here, task, artifacts);
  return facts;
}

// Maps alone: they come back once, and all else is computed from them here.
MapFacts tell(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  const ops::Route& route = task.route();
  std::optional<PlacedPicture> placed;
  if (!medium.picture.empty())
    placed = place_picture(task.record, task.map, medium, route, task.options.longest_side_pixels);
  if (placed && placed->base.range.defined()) {
    placed->base.range = fetch(placed->base.range, route, ops::Cargo::Figures);
  }
  std::optional<Underlay> underlay;
  if (placed) underlay.emplace(placed->underlay());
  const Analysis analysis =
      analyse(task.record, bring_back(task.map, route), ops::Route(), underlay ? &*underlay : nullptr);
  write_maps(analysis, task, artifacts);
  MapFacts facts = facts_of(analysis);
  facts.detail = write_detail(analysis, task, artifacts);
  if (placed) facts.picture = {placed->placement.width, placed->placement.height, 0, 0, placed->base.note};
  return facts;
}

}  // namespace

MapFacts render_map(const PictureMedium& medium, const RenderTask& task, Artifacts& artifacts) {
  return task.options.delivery == Delivery::Frame ? draw(medium, task, artifacts) : tell(medium, task, artifacts);
}

}  // namespace gaze
