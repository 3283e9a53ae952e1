// SPDX-License-Identifier: MIT
#include "paint.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gaze/ops/transfer.hpp>

#include <algorithm>
#include <cmath>

#include "axis.hpp"

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

// White and dark dashes in turn show on any picture. `line` is a view [along, across, 3].
void dash(const at::Tensor& line, int64_t length) {
  const at::Tensor index = at::arange(line.size(0), line.options().dtype(at::kLong));
  const at::Tensor odd = index.div(length, "floor").remainder(2);
  line.copy_((245 - 205 * odd).view({-1, 1, 1}));
}

// The dark outer edge of a contour may lie beyond what the model saw.
void restore_unseen(at::Tensor& rgb_hwc, const at::Tensor& base_hwc, const Placement::Seen& seen) {
  const auto restore = [&](int64_t axis, int64_t begin, int64_t end) {
    if (begin < end) rgb_hwc.slice(axis, begin, end).copy_(base_hwc.slice(axis, begin, end));
  };
  restore(0, 0, seen.top);
  restore(0, seen.bottom, rgb_hwc.size(0));
  restore(1, 0, seen.left);
  restore(1, seen.right, rgb_hwc.size(1));
}

void draw_seen_border(at::Tensor& rgb_hwc, const Placement& placement) {
  const Placement::Seen seen = placement.seen();
  const int64_t width = std::max<int64_t>(1, line_width(placement) / 2);
  const int64_t length = 6 * width;
  if (seen.right - seen.left < width || seen.bottom - seen.top < width) return;
  const at::Tensor inside = rgb_hwc.slice(0, seen.top, seen.bottom).slice(1, seen.left, seen.right);
  if (seen.left > 0) dash(inside.narrow(1, 0, width), length);
  if (seen.right < placement.width) dash(inside.narrow(1, inside.size(1) - width, width), length);
  if (seen.top > 0) dash(inside.narrow(0, 0, width).transpose(0, 1), length);
  if (seen.bottom < placement.height) dash(inside.narrow(0, inside.size(0) - width, width).transpose(0, 1), length);
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

Placement::Seen Placement::seen() const {
  const auto [x, y] = axes(*this);
  const auto [left, right] = x.seen_range();
  const auto [top, bottom] = y.seen_range();
  return {left, right, top, bottom};
}

Placement place_scaled(const Geometry& geometry, int64_t original_width, int64_t original_height, int64_t width,
                       int64_t height) {
  ops::CellAffine affine = place(geometry, original_width, original_height);
  affine.scale_x *= static_cast<double>(original_width) / static_cast<double>(width);
  affine.scale_y *= static_cast<double>(original_height) / static_cast<double>(height);
  return {geometry.rows, geometry.cols, affine, width, height};
}

at::Tensor paint(const at::Tensor& base_hwc, const Layer& layer, const Placement& placement, const Style& style) {
  at::Tensor rgb_hwc = at::empty(base_hwc.sizes(), base_hwc.options());
  paint(base_hwc, layer, placement, style, rgb_hwc);
  return rgb_hwc;
}

void paint(const at::Tensor& base_hwc, const Layer& layer, const Placement& placement, const Style& style,
           at::Tensor& out_hwc) {
  const int64_t rows = placement.rows;
  const int64_t cols = placement.cols;
  if (layer.diffuse) {
    out_hwc.copy_(base_hwc);
  } else {
    const at::Tensor value_yx = ops::resample(layer.value_c.view({rows, cols}), placement.affine, placement.height,
                                              placement.width, style.interpolation);
    out_hwc.copy_(ops::blend(base_hwc, ops::colour(value_yx, style.colormap), value_yx, style.blend));
    if (layer.inside_c.defined()) {
      const at::Tensor inside_yx = ops::resample(layer.inside_c.view({rows, cols}).to(at::kFloat), placement.affine,
                                                 placement.height, placement.width, ops::Interpolation::Exact);
      ops::contour(out_hwc, inside_yx > 0.5, contour_width(placement));
      restore_unseen(out_hwc, base_hwc, placement.seen());
    }
  }
  draw_seen_border(out_hwc, placement);
  if (layer.diffuse) stamp_diffuse(out_hwc);
}

void stamp_diffuse(at::Tensor& rgb_hwc) {
  const int64_t height = rgb_hwc.size(0);
  const int64_t width = rgb_hwc.size(1);
  // About a sixth of the width, in whole pixels per dot.
  const int64_t dot = std::max<int64_t>(1, width / (6 * kStampWidth));
  const int64_t margin = 3 * dot;
  if (kStampWidth * dot + margin > width || kStampHeight * dot + margin > height) return;
  const at::Tensor stamp_hwc = ops::to_device(make_stamp(), ops::route_to(rgb_hwc.device()), ops::Cargo::Table)
                                   .repeat_interleave(dot, 0)
                                   .repeat_interleave(dot, 1);
  rgb_hwc.narrow(0, height - margin - stamp_hwc.size(0), stamp_hwc.size(0))
      .narrow(1, margin, stamp_hwc.size(1))
      .copy_(stamp_hwc);
}

}  // namespace gaze
