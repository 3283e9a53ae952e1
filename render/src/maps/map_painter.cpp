// SPDX-License-Identifier: MIT
#include "maps/map_painter.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <gaze/ops/overlay.hpp>
#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace gaze {
namespace {

// Thin on a thumbnail, still visible on a 40-megapixel photograph.
int64_t line_width(const Placement& placement) {
  const auto shorter = static_cast<double>(std::min(placement.width, placement.height));
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(shorter / 200)), 1, 16);
}

// An outline must not hide the small cells it encloses.
int64_t contour_width(const Placement& placement) {
  const double cell = 1 / std::max(placement.affine.scale_x, placement.affine.scale_y);
  return std::clamp<int64_t>(static_cast<int64_t>(cell / 10), 1, line_width(placement));
}

// 5 x 7 pixels per letter, one row of 5 bits each.
constexpr uint8_t kDiffuse[7][7] = {
    {0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110},  // D
    {0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110},  // I
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000},  // F
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000},  // F
    {0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110},  // U
    {0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110},  // S
    {0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111},  // E
};
constexpr int64_t kStampWidth = 7 * 6 + 7, kStampHeight = 7 + 6;  // letters, a column between them, 4 and 3 around

at::Tensor make_stamp() {
  at::Tensor stamp_hwc = at::empty({kStampHeight, kStampWidth, 3}, at::kByte);
  auto* out = stamp_hwc.mutable_data_ptr<uint8_t>();
  std::fill_n(out, stamp_hwc.numel(), uint8_t{32});
  for (int64_t letter = 0; letter < 7; ++letter) {
    for (int64_t y = 0; y < 7; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        if ((kDiffuse[letter][y] >> (4 - x) & 1) == 0) continue;
        std::fill_n(out + 3 * ((y + 3) * kStampWidth + 4 + 6 * letter + x), 3, uint8_t{245});
      }
    }
  }
  return stamp_hwc;
}

}  // namespace

at::Tensor paint(const at::Tensor& base_hwc, const MapView& map, const Placement& placement, const Style& style) {
  at::Tensor rgb_hwc = at::empty(base_hwc.sizes(), base_hwc.options());
  paint(base_hwc, map, placement, style, rgb_hwc);
  return rgb_hwc;
}

void paint(const at::Tensor& base_hwc, const MapView& map, const Placement& placement, const Style& style,
           at::Tensor& out_hwc) {
  const std::array<int64_t, 2> grid = {placement.rows, placement.cols};
  ops::OverlayOptions options{style.interpolation, style.colormap, style.blend};
  options.most_sms = kDrawingSms;
  options.contour_pixels = contour_width(placement);
  options.border_pixels = std::max<int64_t>(1, line_width(placement) / 2);
  std::optional<at::Tensor> inside_yx;
  if (map.inside_c.defined() && !map.diffuse) inside_yx = map.inside_c.view(grid);
  const at::Tensor value_c = map.diffuse ? at::zeros_like(map.value_c) : map.value_c;
  ops::overlay_out(base_hwc, value_c.view(grid), inside_yx, placement.affine, options, out_hwc);
  if (map.diffuse) stamp_diffuse(out_hwc);
}

void stamp_diffuse(at::Tensor& rgb_hwc) {
  const int64_t height = rgb_hwc.size(0);
  const int64_t width = rgb_hwc.size(1);
  // About a sixth of the width, in whole pixels per dot.
  const int64_t dot = std::max<int64_t>(1, width / (6 * kStampWidth));
  const int64_t margin = 3 * dot;
  if (kStampWidth * dot + margin > width || kStampHeight * dot + margin > height) return;
  const at::Tensor stamp_hwc = ops::to_device(make_stamp(), ops::route_to(rgb_hwc.device()), ops::Cargo::Table);
  const at::Tensor dots = stamp_hwc.view({kStampHeight, 1, kStampWidth, 1, 3});
  rgb_hwc.narrow(0, height - margin - kStampHeight * dot, kStampHeight * dot)
      .narrow(1, margin, kStampWidth * dot)
      .copy_(dots.expand({-1, dot, -1, dot, -1}).reshape({kStampHeight * dot, kStampWidth * dot, 3}));
}

}  // namespace gaze
