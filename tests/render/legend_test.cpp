// SPDX-License-Identifier: MIT
// Whether a level can be told from the colour it was drawn with, whatever lies below it.
#include <ATen/ops/linspace.h>
#include <gaze/ops/blend.hpp>
#include <gaze/ops/colour.hpp>
#include <gaze/ops/overlay.hpp>

#include <filesystem>

#include "picture/grey.hpp"
#include "records.hpp"

namespace {

constexpr int64_t kHeight = 150, kWidth = 200, kRows = 6, kCols = 8;

/// Shapes of a full colour on mid grey, and the demo's photographs.
std::vector<std::pair<std::string, at::Tensor>> pictures() {
  std::vector<std::pair<std::string, at::Tensor>> all;
  for (const auto& rgb : std::vector<std::vector<int64_t>>{{255, 0, 0},
                                                           {0, 255, 0},
                                                           {0, 0, 255},
                                                           {255, 255, 0},
                                                           {0, 255, 255},
                                                           {255, 0, 255},
                                                           {255, 140, 0},
                                                           {0, 0, 0},
                                                           {255, 255, 255}}) {
    at::Tensor picture_hwc = at::full({kHeight, kWidth, 3}, 128, at::kByte);
    at::Tensor shape_hwc = picture_hwc.narrow(0, 20, 110).narrow(1, 30, 140);
    for (int64_t c = 0; c < 3; ++c) shape_hwc.select(2, c).fill_(rgb[static_cast<size_t>(c)]);
    all.emplace_back("shape " + std::to_string(rgb[0]) + " " + std::to_string(rgb[1]) + " " + std::to_string(rgb[2]),
                     picture_hwc);
  }
  for (const auto& file : std::filesystem::directory_iterator(GAZE_SOURCE_DIR "/samples/data/demo")) {
    if (file.path().extension() != ".jpg") continue;
    const at::Tensor photo_hwc = gaze::decode(file.path().string());
    all.emplace_back(
        file.path().filename(),
        photo_hwc.narrow(0, photo_hwc.size(0) / 4, kHeight).narrow(1, photo_hwc.size(1) / 4, kWidth).contiguous());
  }
  return all;
}

/// The share of pixels above a tenth of the range whose nearest colour of the legend is within a tenth of their level.
double told(const at::Tensor& ground_hwc, const at::Tensor& value_yx, const gaze::ops::OverlayOptions& options) {
  const gaze::ops::CellAffine place{double(kCols) / kWidth, 0, double(kRows) / kHeight, 0};
  at::Tensor drawn_hwc = at::empty_like(ground_hwc);
  gaze::ops::overlay_out(ground_hwc, value_yx, std::nullopt, place, options, drawn_hwc);
  // The value itself, drawn in gray without a picture.
  at::Tensor level_hwc = at::empty_like(ground_hwc);
  gaze::ops::overlay_out(at::zeros_like(ground_hwc), value_yx, std::nullopt, place,
                         {options.interpolation, gaze::ops::Colormap::Gray, {1, 0, 0}}, level_hwc);
  const at::Tensor level_p = level_hwc.select(2, 0).reshape(-1).to(at::kDouble) / 255;
  const at::Tensor grade_l = at::linspace(0, 1, 256, at::kFloat).unsqueeze(0);
  const at::Tensor legend_lc = gaze::ops::blend(at::full({1, 256, 3}, 140, at::kByte),
                                                gaze::ops::colour(grade_l, options.colormap), grade_l, options.blend)[0]
                                   .to(at::kDouble);
  const at::Tensor pixel_pc = drawn_hwc.view({-1, 3}).to(at::kDouble);
  const at::Tensor nearest_p = at::cdist(pixel_pc, legend_lc).argmin(1).to(at::kDouble) / 255;
  const at::Tensor attended_p = level_p.ge(0.1);
  const at::Tensor right_p = (nearest_p - level_p).abs().le(0.1).logical_and(attended_p);
  return right_p.sum().item<double>() / attended_p.sum().item<double>();
}

}  // namespace

CATCH_TEST_CASE("legend: a level is told from its colour, on photographs and on full colours") {
  at::manual_seed(3);
  at::Tensor value_yx = at::rand({kRows, kCols});
  value_yx = (value_yx - value_yx.min()) / (value_yx.max() - value_yx.min());
  const gaze::Style style;
  for (const auto interpolation : {gaze::ops::Interpolation::Bilinear, gaze::ops::Interpolation::Exact}) {
    const gaze::ops::OverlayOptions options{interpolation, style.colormap, style.blend};
    for (const auto& [name, picture_hwc] : pictures()) {
      CATCH_INFO(name);
      CATCH_CHECK(told(gaze::ground_of(picture_hwc, style), value_yx, options) >= 0.9);
    }
  }
  // What the check is for: on the colours themselves, opacity growing with the value, it does not hold.
  gaze::ops::OverlayOptions before{gaze::ops::Interpolation::Bilinear, style.colormap, {0.6, 0.05, 1}};
  double worst = 1;
  for (const auto& [name, picture_hwc] : pictures()) worst = std::min(worst, told(picture_hwc, value_yx, before));
  CATCH_CHECK(worst < 0.6);
}

CATCH_TEST_CASE("legend: warm is high and cool is low, on every ground") {
  const gaze::Style style;
  const at::Tensor value_yx = at::tensor({0.2F, 0.95F}).view({1, 2});
  for (const auto& [name, picture_hwc] : pictures()) {
    CATCH_INFO(name);
    const at::Tensor ground_hwc = gaze::ground_of(picture_hwc, style);
    at::Tensor drawn_hwc = at::empty_like(ground_hwc);
    gaze::ops::overlay_out(ground_hwc, value_yx, std::nullopt, {2.0 / kWidth, 0, 1.0 / kHeight, 0},
                           {gaze::ops::Interpolation::Exact, style.colormap, style.blend}, drawn_hwc);
    const auto red_over_blue = [&](int64_t first) {
      const at::Tensor half_hwc = drawn_hwc.narrow(1, first, kWidth / 2).to(at::kInt);
      return half_hwc.select(2, 0) - half_hwc.select(2, 2);
    };
    CATCH_CHECK(red_over_blue(0).max().item<int>() < 0);
    CATCH_CHECK(red_over_blue(kWidth / 2).min().item<int>() > 0);
  }
}

CATCH_TEST_CASE("legend: grey is the luma of BT.601, narrowed") {
  const at::Tensor picture_hwc = gaze::test::noise_picture(31, 17);
  const at::Tensor luma_yx = (picture_hwc.to(at::kDouble) * at::tensor({0.299, 0.587, 0.114})).sum(2);
  const at::Tensor want_yx = 64 + luma_yx * 153 / 255;
  const at::Tensor got_hwc = gaze::ground_of(picture_hwc, {});
  for (int64_t c = 0; c < 3; ++c)
    CATCH_CHECK((got_hwc.select(2, c).to(at::kDouble) - want_yx).abs().max().item<double>() < 1.3);
  gaze::Style coloured;
  coloured.ground = gaze::Ground::Colour;
  CATCH_CHECK(at::equal(gaze::ground_of(picture_hwc, coloured), picture_hwc));
}
