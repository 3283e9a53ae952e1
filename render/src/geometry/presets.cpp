// SPDX-License-Identifier: MIT
#include <gaze/render/presets.hpp>

namespace gaze {
namespace {

// BlipImageProcessor: a square without a crop; class token first. Of BLIP-2 and InstructBLIP, the Q-Former's keys.
Geometry blip(int64_t side, int64_t patch) {
  Geometry geometry;
  geometry.leading = 1;
  geometry.input_width = geometry.input_height = side;
  geometry.patch = patch;
  return geometry;
}

// CLIP's vision tower: class token first, shorter side resized and the centre cropped. Patch and input differ by model.
Geometry clip() {
  Geometry geometry;
  geometry.leading = 1;
  geometry.fit = Fit::CentreCrop;
  return geometry;
}

// Gemma 3: 896 x 896 without a crop; patches of 14, averaged 4 x 4 to 256 keys.
Geometry gemma3() {
  Geometry geometry;
  geometry.input_width = geometry.input_height = 896;
  geometry.patch = 14;
  geometry.merge = 4;
  return geometry;
}

// InternVL 1.5 to 3: tiles of 448 pixels, patches of 14, pixel shuffle 2; a thumbnail last when there are two or more.
Geometry internvl() {
  Geometry geometry;
  geometry.rows = geometry.cols = 16;
  geometry.tiles = Tiles{.rows = 0, .cols = 0};
  geometry.thumbnail = Thumbnail{.rows = 16, .cols = 16};
  return geometry;
}

// 336 x 336, patches of 14, class token dropped: 576 keys.
Geometry llava(Fit fit) {
  Geometry geometry;
  geometry.fit = fit;
  geometry.input_width = geometry.input_height = 336;
  geometry.patch = 14;
  return geometry;
}

// The whole picture at 336 x 336 first; then tiles rejoined, unpadded, and image_newline after every row. The input is
// the resolution chosen among image_grid_pinpoints.
Geometry llava_next() {
  Geometry geometry;
  geometry.fit = Fit::Letterbox;
  geometry.patch = 14;
  geometry.unpad = true;
  geometry.row_end = 1;
  geometry.thumbnail = Thumbnail{.rows = 24, .cols = 24, .first = true};
  return geometry;
}

// Frames of 384 x 384 without a crop, each pooled from 27 x 27 to 14 x 14; image_newline once, at the very end.
Geometry llava_onevision_video() {
  Geometry geometry;
  geometry.rows = geometry.cols = 14;
  geometry.trailing = 1;
  geometry.video = Video{.frames = 0};
  return geometry;
}

// OWL-ViT: without a crop, class token first. Patch and input differ by model.
Geometry owlvit() {
  Geometry geometry;
  geometry.leading = 1;
  return geometry;
}

// PaliGemma: without a crop, patches of 14, the picture first in the row. The input differs by model.
Geometry paligemma() {
  Geometry geometry;
  geometry.patch = 14;
  return geometry;
}

// Patches of 14, merged 2 x 2, at any aspect ratio.
Geometry qwen2_vl() {
  Geometry geometry;
  geometry.patch = 14;
  geometry.merge = 2;
  return geometry;
}

Geometry qwen2_vl_video() {
  Geometry geometry = qwen2_vl();
  geometry.video = Video{.frames = 0, .temporal_merge = 2};
  return geometry;
}

// 30 s of log-mel frames of 10 ms, halved by the second convolution.
Geometry whisper() {
  Geometry geometry;
  geometry.rows = 1;
  geometry.cols = 1500;
  geometry.time = Timeline{.seconds_per_key = 0.02};
  return geometry;
}

struct Preset {
  const char* name;
  Geometry (*make)();
};

constexpr Preset kPresets[] = {{"blip", [] { return blip(384, 16); }},
                               {"blip-2", [] { return blip(224, 14); }},
                               {"clip", clip},
                               {"gemma3", gemma3},
                               {"internvl", internvl},
                               {"llava-1.5", [] { return llava(Fit::Letterbox); }},
                               {"llava-1.5-hf", [] { return llava(Fit::CentreCrop); }},
                               {"llava-next", llava_next},
                               {"llava-onevision-video", llava_onevision_video},
                               {"owlvit", owlvit},
                               {"paligemma", paligemma},
                               {"qwen2-vl", qwen2_vl},
                               {"qwen2-vl-video", qwen2_vl_video},
                               {"whisper", whisper}};

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& each : kPresets) names.emplace_back(each.name);
  return names;
}

std::optional<Geometry> preset(const std::string& name) {
  for (const Preset& each : kPresets) {
    if (name == each.name) return each.make();
  }
  return std::nullopt;
}

}  // namespace gaze
